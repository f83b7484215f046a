// The cashier's pages: the list of orders, and one order with its notifications and events. They
// show the texts of orders and shops as text only, never as HTML.
'use strict';

const POLL_MS = 1000;
const TIMEOUT_MS = 5000;
/** How long the page waits after a payment before it goes to the shop's page. */
const RETURN_S = 5;
/** How many deliveries of a notification or an event the page shows at once. */
const DELIVERIES_SHOWN = 4;

const REFUND_STATES = {
  PROCESSING: '处理中 Processing', SUCCESS: '已到账 Arrived', ABNORMAL: '异常 Abnormal', CLOSED: '已关闭 Closed',
};
const INVALID_SIGNATURES = { wrong_key: '伪造签名 Forged', probe: '签名探测 Signature probe' };
/** The refusals of the providers in words. */
const REFUSALS = {
  ORDER_NOT_EXIST: '这里没有这样的订单或付款码。 No order or payment code here is this one.',
  SEVERAL_ORDERS: '有几个订单用了这个单号。 Several orders have this number.',
  CODE_EXPIRED: '付款码已过期，请回到商户重新下单。 The code has expired: order again at the shop.',
  ORDER_EXPIRED: '订单已过支付截止时间。 The time to pay the order is over.',
  ORDER_PAID: '订单已支付。 The order is paid.',
  ORDER_CLOSED: '订单已关闭。 The order is closed.',
  OPENID_MISMATCH: '付款人与下单的 openid 不一致。 Another buyer than the order names.',
  NOTHING_LEFT: '超过可退金额。 The amount exceeds what can be refunded.',
  SYSTEM_ERROR: '账本写不进去，请看日志。 The ledger cannot be written: see the log.',
  'ACQ.TRADE_HAS_SUCCESS': '订单已支付。 The order is paid.',
  'ACQ.TRADE_HAS_CLOSE': '订单已关闭。 The order is closed.',
  'ACQ.CONTEXT_INCONSISTENT': '买家已打开过这个单号的另一笔交易。 A buyer has opened this number with other terms.',
  'ACQ.TRADE_BUYER_NOT_MATCH': '付款人与下单的买家不一致。 Another buyer than the order names.',
  'ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR': '订单已过支付截止时间。 The time to pay the order is over.',
  'isv.invalid-signature': '签名与参数不符，可能没有贴全。 The signature does not fit: perhaps a part is missing.',
};
const DONE = {
  pay: '已付款 Paid', cancel: '买家取消了付款 The buyer left without paying',
  expire: '订单已过期 The order has expired', notifications: '已重新通知 Sent again',
  refund: '已申请退款 The refund is on its way',
};

const byId = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);

/** Shows `text` in the element of `card` that `name` names. */
function show(card, name, text) {
  const element = card.querySelector(`[data-of="${name}"]`);
  if (element.textContent !== text) element.textContent = text;
  return element;
}

function row(card, name, isShown) {
  card.querySelector(`[data-row="${name}"]`).hidden = !isShown;
}

/** Shows a moment in the local time with its date, and by the ISO form in the title. */
function showTime(element, ms) {
  if (ms === null || ms === undefined) return;
  const date = new Date(ms);
  const iso = date.toISOString();
  if (element.dateTime === iso) return;
  element.dateTime = iso;
  element.title = iso;
  element.textContent = `${date.toLocaleDateString('sv-SE')} ${date.toLocaleTimeString('sv-SE')}`;
}

function wait(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  if (seconds < 90) return [`${seconds} 秒`, `${seconds} s`];
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return [`${minutes} 分钟`, `${minutes} min`];
  return [`${Math.round(minutes / 60)} 小时`, `${Math.round(minutes / 60)} h`];
}

// ---- notifications and events ----

/** A notification of the provider as the columns show it. */
function notificationView({ title, notice, refund }, now) {
  const isOut = (it) => it.status === null && !it.answer;
  return {
    title,
    subtitle: [refund?.out_refund_no, notice.url].filter(Boolean).join(' · '),
    verdict: notificationVerdict(notice, isOut, now),
    deliveries: notice.deliveries.map((it) => ({
      at: it.at,
      status: isOut(it) ? '…' : it.status ?? '—',
      kind: isOut(it) ? 'wait' : it.status === 200 || it.status === 204 ? 'good' : 'bad',
      mark: it.forged && (INVALID_SIGNATURES[it.forged] ?? it.forged),
      answer: isOut(it) ? '已发送 Sent' : it.answer || '（无内容 empty）',
    })),
    resend: notice.url && refund?.state !== 'PROCESSING'
      ? { out_refund_no: refund?.out_refund_no } : null,
  };
}

function notificationVerdict(notice, isOut, now) {
  if (!notice.url) return ['off', '订单没有通知地址 No notify_url'];
  const last = notice.deliveries.at(-1);
  if (notice.acknowledged !== null) return ['good', '已确认 Acknowledged'];
  if (last && isOut(last)) return ['wait', '等待应答 Waiting for the answer'];
  if (notice.due !== null) return ['wait', nextTry(notice.due - now)];
  return ['bad', last ? '已停止重试 Given up' : '未通知 Not notified'];
}

function nextTry(ms) {
  const [zh, en] = wait(ms);
  return `${zh}后重试 Next try in ${en}`;
}

/** An event of the shop as the columns show it. */
function eventView(event, now) {
  const isRefused = event.deliveries.some((it) => it.refusal !== null);
  const verdicts = {
    accepted: ['good', '已送达 Delivered'],
    parked: ['bad', '已搁置 Parked'],
    pending: event.tries === 0
      ? ['wait', '正在发送 On its way'] : ['wait', `被拒绝，${nextTry(event.next_at - now)}`],
  };
  const why = isRefused || event.state !== 'parked' ? [] : [{
    at: event.created_at, status: '—', kind: 'bad',
    answer: '没有接收者 There is neither a webhook nor a handler',
  }];
  return {
    title: event.type,
    subtitle: `${event.out_trade_no} · ${event.id}`,
    verdict: verdicts[event.state],
    deliveries: [...event.deliveries.map((it) => ({
      at: it.at,
      status: it.refusal === null ? '✓' : '✗',
      kind: it.refusal === null ? 'good' : 'bad',
      answer: it.refusal ?? '已接受 Accepted',
    })), ...why],
    resend: null,
  };
}

function deliveryItem(delivery) {
  const item = document.createElement('li');
  const at = document.createElement('time');
  showTime(at, delivery.at);
  const status = document.createElement('span');
  status.className = 'status';
  status.textContent = delivery.status;
  status.dataset.kind = delivery.kind;
  const answer = document.createElement('span');
  answer.className = 'mono';
  if (delivery.mark) {
    const mark = document.createElement('span');
    mark.className = 'forged';
    mark.textContent = delivery.mark;
    answer.append(mark);
  }
  answer.append(delivery.answer);
  answer.title = delivery.answer;
  item.append(at, status, answer);
  return item;
}

function showDeliveries(card, deliveries) {
  const text = JSON.stringify(deliveries);
  if (card.deliveriesShown === text) return;
  card.deliveriesShown = text;
  const items = deliveries.map(deliveryItem);
  const latest = items.splice(-DELIVERIES_SHOWN);
  row(card, 'earlier', items.length > 0);
  show(card, 'earliercount', `更早的 ${items.length} 次 ${items.length} earlier`);
  card.querySelector('[data-of="earlier"]').replaceChildren(...items);
  card.querySelector('[data-of="deliveries"]').replaceChildren(...latest);
}

/** Shows the views in a column, each in an element of its own. */
function showColumn(list, views) {
  views.forEach((view, index) => {
    if (!list.children[index]) list.append(newNotification());
    const element = list.children[index];
    element.resend = view.resend;
    show(element, 'title', view.title);
    show(element, 'subtitle', view.subtitle).hidden = !view.subtitle;
    const [kind, words] = view.verdict;
    show(element, 'verdict', words).dataset.kind = kind;
    showDeliveries(element, view.deliveries);
    element.querySelector('[data-act]').hidden = !view.resend;
  });
  while (list.children.length > views.length) list.lastElementChild.remove();
}

function newNotification() {
  const element = byId('notification').content.firstElementChild.cloneNode(true);
  const button = element.querySelector('[data-act]');
  button.addEventListener('click', () => act(button, element.resend));
  return element;
}

function showColumns(view, shop) {
  const card = byId('order');
  const { payment } = view.order;
  row(card, 'columns', payment !== null);
  if (!payment) return;
  const isAlone = shop?.code === 'NO_PAYGATE';
  show(card, 'providercolumn', isAlone
    ? '支付平台 → notify_url Provider → notify_url' : '支付平台 → paygate Provider → paygate');
  showColumn(card.querySelector('[data-of="notifications"]'), [
    { title: '支付 Payment', notice: payment.notice },
    ...payment.refunds.map((refund) => ({
      title: `退款 Refund ¥${refund.yuan} · ${REFUND_STATES[refund.state] ?? refund.state}`,
      notice: refund.notice,
      refund,
    })),
  ].map((it) => notificationView(it, view.now)));
  const events = shop?.events ?? [];
  show(card, 'shopnote', shopNote(shop, isAlone, events)).hidden = events.length > 0
    && shop.has_webhook;
  showColumn(card.querySelector('[data-of="events"]'), events.map((it) => eventView(it, view.now)));
}

function shopNote(shop, isAlone, events) {
  if (!shop) return '读取中 Reading';
  if (isAlone) {
    return '模拟平台单独运行（paygate mock）：没有 paygate，也就没有发给商户的事件。 '
      + 'The providers run alone (paygate mock): without paygate there are no events for a shop.';
  }
  if (shop.code) return shop.message;
  if (!shop.has_webhook) {
    return '没有设置 PAYGATE_WEBHOOK_URL：事件没有网络接收者。 '
      + 'PAYGATE_WEBHOOK_URL is not set: no endpoint of the shop gets events.';
  }
  return events.length === 0 ? '还没有事件 No events yet' : '';
}

// ---- one order ----

let opened = null;
let countdown = null;

function showOrder(view) {
  const card = byId('order');
  const { order } = view;
  card.hidden = false;
  byId('unknown').hidden = true;
  card.dataset.provider = order.provider;
  card.dataset.number = order.out_trade_no;
  show(card, 'provider', order.provider_words);
  show(card, 'product', order.product_words);
  show(card, 'state', order.state_words).dataset.state = order.state;
  show(card, 'yuan', order.yuan);
  show(card, 'subject', order.subject);
  show(card, 'number', order.out_trade_no);
  const times = { created: order.created, paid: order.payment?.paid_at ?? null };
  for (const [name, ms] of Object.entries(times)) {
    showTime(card.querySelector(`[data-of="${name}"]`), ms);
    row(card, name, ms !== null);
  }
  showTime(card.querySelector('[data-of="expires"]'), order.expires);
  row(card, 'expires', order.is_payable);
  show(card, 'transaction', order.transaction_id ?? '');
  row(card, 'transaction', order.transaction_id !== null);
  row(card, 'acts', order.is_payable);
  const isOpen = ['offered', 'unpaid', 'expired'].includes(order.state);
  row(card, 'expired', isOpen && !order.is_payable);
  showLink(card, 'leave', view.leave_url);
  const isPaid = order.payment !== null;
  row(card, 'return', isPaid && view.return_url !== null);
  showLink(card, 'return', isPaid ? view.return_url : null);
  row(card, 'stay', countdown !== null);
  showCode(card, order);
  showCodes(card, view.codes);
  showRefund(card, order.payment);
}

function showLink(card, name, url) {
  const link = card.querySelector(`[data-of="${name}"]`);
  link.hidden = url === null;
  if (url !== null && link.getAttribute('href') !== url) link.href = url;
}

function showCode(card, order) {
  const hasCode = order.is_payable && order.has_code;
  row(card, 'code', hasCode);
  const image = card.querySelector('[data-of="code"]');
  if (hasCode && image.dataset.at !== String(order.code_at)) {
    image.dataset.at = order.code_at;
    const number = encodeURIComponent(order.out_trade_no);
    image.src = `/_mock/qr/${order.provider}/${number}?at=${order.code_at}`;
    image.alt = `${order.subject} ¥${order.yuan}：付款二维码 payment QR code`;
  }
}

function showCodes(card, codes) {
  row(card, 'codes', codes.length > 0);
  const list = card.querySelector('[data-of="codes"]');
  const text = JSON.stringify(codes);
  if (list.shown === text) return;
  list.shown = text;
  list.replaceChildren(...codes.map((code) => {
    const item = document.createElement('li');
    const words = code.is_valid ? '有效至 valid until' : '已失效，曾有效至 expired, valid until';
    const until = document.createElement('time');
    showTime(until, code.until);
    const value = document.createElement('span');
    value.className = 'mono';
    value.textContent = code.text;
    item.append(`${code.name} · ${words} `, until, document.createElement('br'), value);
    return item;
  }));
}

/** Offers the amount that can still be refunded. */
function showRefund(card, payment) {
  const isLeft = Boolean(payment) && payment.left !== '0.00';
  row(card, 'refund', isLeft);
  const input = card.querySelector('[data-of="refundamount"]');
  if (isLeft && input.dataset.left !== payment.left) {
    input.dataset.left = payment.left;
    input.value = payment.left;
  }
}

function showUnknown(refusal) {
  const section = byId('unknown');
  section.hidden = false;
  byId('open').hidden = false;
  show(section, 'reason', words(refusal));
  const given = query.get('with') ?? query.get('number') ?? '';
  show(section, 'given', given.length > 300 ? `${given.slice(0, 300)}…` : given);
  row(section, 'several', refusal.code === 'SEVERAL_ORDERS');
  section.querySelector('[data-of="several"]').href = `/?q=${encodeURIComponent(given)}`;
}

const words = ({ code, message }) => REFUSALS[code] ?? `${message} (${code})`;

/** Names the opened order also by its number: its code may become invalid while it is shown. */
function orderQuery() {
  const named = new URLSearchParams(query);
  if (opened?.order.created) {
    named.set('provider', opened.order.provider);
    named.set('merchant', opened.order.merchant);
    named.set('number', opened.order.out_trade_no);
  }
  return named;
}

async function refreshOrder() {
  const reply = await get(`/_mock/cashier/order?${orderQuery()}`);
  const view = await reply.json();
  if (!reply.ok) {
    if (!opened) showUnknown(view);
    return;
  }
  opened = view;
  showOrder(view);
  showColumns(view, await shopEvents(view.order));
}

let shopAnswer = null;

/** What the shop got of the order's payment. */
async function shopEvents(order) {
  if (!order.payment || shopAnswer?.code === 'NO_PAYGATE') return shopAnswer;
  const payment = { provider: order.provider, transaction_id: order.transaction_id };
  shopAnswer = await (await get(`/_mock/events?${new URLSearchParams(payment)}`)).json();
  return shopAnswer;
}

/** Goes to the shop's page as the providers' pages do, unless the person stays. */
function returnSoon() {
  const url = opened?.return_url;
  if (!url || countdown !== null) return;
  let left = RETURN_S;
  const tick = () => {
    if (left === 0) {
      location.href = url;
      return;
    }
    show(byId('order'), 'countdown', `${left} s`);
    left -= 1;
    countdown = setTimeout(tick, 1000);
  };
  tick();
  row(byId('order'), 'stay', true);
}

function stay() {
  clearTimeout(countdown);
  countdown = null;
  row(byId('order'), 'stay', false);
}

async function act(button, more) {
  const operation = button.dataset.act;
  const { order, purchase } = opened;
  const isPurchase = ['pay', 'cancel', 'expire'].includes(operation);
  const named = { provider: order.provider, out_trade_no: order.out_trade_no };
  const isDone = await perform(button, operation, isPurchase ? purchase : { ...named, ...more });
  if (isDone && operation === 'pay') returnSoon();
}

/** Yuan as a person writes them, in fen. */
function fen(yuan) {
  const [whole, cents = ''] = yuan.split('.');
  return Number(whole) * 100 + Number(cents.padEnd(2, '0'));
}

/** Performs an operation, and returns whether it succeeded. */
async function perform(button, operation, body) {
  button.disabled = true;
  try {
    await post(operation, body);
    showMessage('good', DONE[operation]);
    await refresh();
    return true;
  } catch (error) {
    showMessage('bad', error.message);
    return false;
  } finally {
    button.disabled = false;
  }
}

// ---- the list ----

const rows = new Map();

function listAddress(search, page) {
  const parameters = new URLSearchParams();
  if (search) parameters.set('q', search);
  if (page > 1) parameters.set('page', page);
  return parameters.size > 0 ? `/?${parameters}` : '/';
}

function showRow(item, order) {
  const named = {
    provider: order.provider, merchant: order.merchant, number: order.out_trade_no,
  };
  item.dataset.provider = order.provider;
  item.dataset.number = order.out_trade_no;
  item.querySelector('a').href = `/pay?${new URLSearchParams(named)}`;
  show(item, 'provider', order.provider_words);
  show(item, 'state', order.state_words).dataset.state = order.state;
  show(item, 'yuan', order.yuan);
  show(item, 'subject', order.subject);
  show(item, 'number', order.out_trade_no);
  showTime(item.querySelector('[data-of="created"]'), order.created);
}

function showList(view) {
  const list = byId('orders');
  const seen = new Set();
  view.orders.forEach((order, index) => {
    const key = JSON.stringify([order.provider, order.merchant, order.out_trade_no]);
    seen.add(key);
    if (!rows.has(key)) rows.set(key, byId('row').content.firstElementChild.cloneNode(true));
    const item = rows.get(key);
    showRow(item, order);
    if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null);
  });
  for (const [key, item] of rows) {
    if (!seen.has(key)) {
      item.remove();
      rows.delete(key);
    }
  }
  byId('empty').hidden = view.count > 0;
  const search = query.get('q') ?? '';
  byId('found').textContent = search
    ? `找到 ${view.found} 个，共 ${view.count} 个订单 ${view.found} of ${view.count} orders found`
    : `共 ${view.count} 个订单 ${view.count} orders`;
  const pages = byId('pages');
  pages.hidden = view.pages === 1;
  show(pages, 'page', `${view.page} / ${view.pages}`);
  showLink(pages, 'newer', view.page > 1 ? listAddress(search, view.page - 1) : null);
  showLink(pages, 'older', view.page < view.pages ? listAddress(search, view.page + 1) : null);
}

async function refreshList() {
  const reply = await get(`/_mock/cashier?${query}`);
  if (!reply.ok) throw new Error(`HTTP ${reply.status}`);
  showList(await reply.json());
}

// ---- both ----

/** Shows what happened, for a while. */
function showMessage(kind, text) {
  const element = byId('message');
  element.textContent = text;
  element.dataset.kind = kind;
  element.hidden = false;
  clearTimeout(element.timer);
  element.timer = setTimeout(() => { element.hidden = true; }, 8000);
}

const get = (address) => fetch(address, { signal: AbortSignal.timeout(TIMEOUT_MS) });

async function post(operation, body) {
  const reply = await fetch(`/_mock/${operation}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const answer = await reply.json();
  if (!reply.ok) throw new Error(words(answer));
  return answer;
}

const isOrderPage = location.pathname === '/pay';

async function refresh() {
  const line = byId('line');
  try {
    await (isOrderPage ? refreshOrder() : refreshList());
    connected(line, 'on', '已连接 Connected');
  } catch {
    connected(line, 'off', '连接中断，正在重试 Connection lost, trying again');
  }
}

function connected(line, state, text) {
  if (line.dataset.line === state) return;
  line.dataset.line = state;
  line.textContent = text;
}

async function watch() {
  if (!document.hidden) await refresh();
  setTimeout(watch, POLL_MS);
}

byId('open').addEventListener('submit', (event) => {
  event.preventDefault();
  location.href = `/pay?with=${encodeURIComponent(byId('with').value.trim())}`;
});
byId('search').addEventListener('submit', (event) => {
  event.preventDefault();
  location.href = listAddress(byId('q').value.trim(), 1);
});
for (const button of byId('order').querySelectorAll('.acts [data-act]')) {
  button.addEventListener('click', () => act(button));
}
byId('order').querySelector('form').addEventListener('submit', (event) => {
  event.preventDefault();
  const yuan = byId('order').querySelector('[data-of="refundamount"]').value;
  act(event.submitter, { amount: fen(yuan) });
});
byId('stay').addEventListener('click', stay);
document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });
byId('list').hidden = isOrderPage;
byId('open').hidden = isOrderPage;
byId('all').hidden = !isOrderPage;
byId('q').value = query.get('q') ?? '';
watch();
