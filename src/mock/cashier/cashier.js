// The cashier page. It shows the texts of orders and shops as text only, never as HTML.
'use strict';

const POLL_MS = 1000;
const TIMEOUT_MS = 5000;
/** How many deliveries of a notification the page shows at once. */
const DELIVERIES_SHOWN = 4;

const PROVIDERS = { wxpay: '微信支付 WeChat Pay', alipay: '支付宝 Alipay' };
const PRODUCTS = {
  jsapi: '小程序/公众号 JSAPI', app: 'App', h5: '手机浏览器 H5', native: '扫码 Native',
  app_pay: 'App', create: '小程序 Mini program', precreate: '扫码 QR code',
  wap_pay: '手机网页 Wap page', page_pay: '电脑网页 PC page',
};
const STATES = {
  offered: '待支付 Waiting', unpaid: '待支付 Waiting', paid: '已支付 Paid',
  closed: '已关闭 Closed', expired: '已过期 Expired',
  part: '部分退款 Partly refunded', refunded: '已退款 Refunded',
};
const REFUND_STATES = {
  PROCESSING: '处理中 Processing', SUCCESS: '已到账 Arrived', ABNORMAL: '异常 Abnormal', CLOSED: '已关闭 Closed',
};
const INVALID_SIGNATURES = { wrong_key: '伪造签名 Forged', probe: '签名探测 Signature probe' };

const byId = (id) => document.getElementById(id);
const cards = new Map();
let shown = '';

/** Shows `text` in the element that `name` names. */
function show(card, name, text) {
  const element = card.querySelector(`[data-of="${name}"]`);
  if (element.textContent !== text) element.textContent = text;
  return element;
}

function row(card, name, isShown) {
  card.querySelector(`[data-row="${name}"]`).hidden = !isShown;
}

const clock = (ms) => new Date(ms).toLocaleTimeString('zh-CN', { hour12: false });
function moment(ms) {
  const day = new Date(ms).toLocaleDateString('sv-SE');
  return day === new Date().toLocaleDateString('sv-SE') ? clock(ms) : `${day} ${clock(ms)}`;
}

function wait(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  if (seconds < 90) return [`${seconds} 秒`, `${seconds} s`];
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return [`${minutes} 分钟`, `${minutes} min`];
  return [`${Math.round(minutes / 60)} 小时`, `${Math.round(minutes / 60)} h`];
}

/** The state of a notification in words, and the kind of the state. */
function verdict(notice, now) {
  if (!notice.url) return ['off', '订单没有通知地址 No notify_url'];
  const last = notice.deliveries.at(-1);
  const isOut = last && last.status === null && !last.answer;
  if (notice.acknowledged !== null) return ['good', '商户已确认 Acknowledged'];
  if (isOut) return ['wait', '等待商户应答 Waiting for the answer'];
  if (notice.due !== null) {
    const [zh, en] = wait(notice.due - now);
    return ['wait', `${zh}后重试 Next try in ${en}`];
  }
  return ['bad', last ? '已停止重试 Given up' : '未通知 Not told'];
}

function deliveryItem(delivery) {
  const item = document.createElement('li');
  const at = document.createElement('time');
  at.textContent = clock(delivery.at);
  at.dateTime = new Date(delivery.at).toISOString();
  const status = document.createElement('span');
  status.className = 'status';
  const isOut = delivery.status === null && !delivery.answer;
  status.textContent = isOut ? '…' : delivery.status ?? '—';
  const isGood = delivery.status === 200 || delivery.status === 204;
  status.dataset.kind = isOut ? 'wait' : isGood ? 'good' : 'bad';
  const answer = document.createElement('span');
  answer.className = 'mono';
  if (delivery.forged) {
    const mark = document.createElement('span');
    mark.className = 'forged';
    mark.textContent = INVALID_SIGNATURES[delivery.forged] ?? delivery.forged;
    answer.append(mark);
  }
  answer.append(isOut ? '已发送 Sent' : delivery.answer || '（无内容 empty）');
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

/** Shows the notifications of the payment and of each of its refunds. */
function showNotifications(card, payment, now) {
  const notifications = !payment ? [] : [
    { title: '通知商户 Notifications to the shop', notice: payment.notice },
    ...payment.refunds.map((refund) => ({
      title: refundTitle(refund), notice: refund.notice, refund,
    })),
  ];
  const list = card.querySelector('[data-of="notifications"]');
  notifications.forEach((notification, index) => {
    if (!list.children[index]) list.append(newNotification(card));
    showNotification(list.children[index], notification, now);
  });
  while (list.children.length > notifications.length) list.lastElementChild.remove();
}

const refundTitle = (refund) =>
  `退款 Refund ¥${refund.yuan} · ${REFUND_STATES[refund.state] ?? refund.state}`;

function showNotification(element, { title, notice, refund }, now) {
  element.refund = refund;
  show(element, 'title', title);
  show(element, 'refundno', refund?.out_refund_no ?? '');
  row(element, 'refundno', Boolean(refund));
  const [kind, words] = verdict(notice, now);
  show(element, 'verdict', words).dataset.kind = kind;
  show(element, 'url', notice.url ?? '');
  showDeliveries(element, notice.deliveries);
  const isPending = refund?.state === 'PROCESSING';
  element.querySelector('[data-act]').hidden = !notice.url || isPending;
}

function newNotification(card) {
  const element = byId('notification').content.firstElementChild.cloneNode(true);
  const button = element.querySelector('[data-act]');
  button.addEventListener('click', () => act(card, button, refundNo(element.refund)));
  return element;
}

const refundNo = (refund) => (refund ? { out_refund_no: refund.out_refund_no } : {});

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

function showOrder(card, order, now) {
  card.order = order;
  card.dataset.provider = order.provider;
  card.dataset.number = order.out_trade_no;
  show(card, 'provider', PROVIDERS[order.provider] ?? order.provider);
  show(card, 'product', PRODUCTS[order.product] ?? order.product);
  show(card, 'state', STATES[order.state] ?? order.state).dataset.state = order.state;
  show(card, 'yuan', order.payment?.yuan ?? order.yuan);
  show(card, 'subject', order.subject);
  show(card, 'number', order.out_trade_no);
  show(card, 'created', moment(order.created));
  show(card, 'transaction', order.transaction_id ?? '');
  row(card, 'transaction', order.transaction_id !== null);
  show(card, 'paid', order.payment ? moment(order.payment.paid_at) : '');
  row(card, 'paid', order.payment !== null);
  show(card, 'expires', moment(order.expires));
  row(card, 'expires', order.is_payable);
  row(card, 'acts', order.is_payable);
  const hasCode = order.is_payable && order.has_code;
  row(card, 'code', hasCode);
  const image = card.querySelector('[data-of="code"]');
  if (hasCode && image.dataset.at !== String(order.code_at)) {
    image.dataset.at = order.code_at;
    const number = encodeURIComponent(order.out_trade_no);
    image.src = `/_mock/qr/${order.provider}/${number}?at=${order.code_at}`;
    image.alt = `${order.subject} ¥${order.yuan}：付款二维码 payment QR code`;
  }
  showRefund(card, order.payment);
  showNotifications(card, order.payment, now);
}

function newCard() {
  const card = byId('card').content.firstElementChild.cloneNode(true);
  for (const button of card.querySelectorAll('.acts [data-act]')) {
    button.addEventListener('click', () => act(card, button));
  }
  card.querySelector('form').addEventListener('submit', (event) => {
    event.preventDefault();
    const yuan = card.querySelector('[data-of="refundamount"]').value;
    act(card, event.submitter, { amount: fen(yuan) });
  });
  return card;
}

function render(view) {
  const seen = new Set();
  view.orders.forEach((order, index) => {
    const key = JSON.stringify([order.provider, order.merchant, order.out_trade_no]);
    seen.add(key);
    if (!cards.has(key)) cards.set(key, newCard());
    const card = cards.get(key);
    showOrder(card, order, view.now);
    const list = byId('orders');
    if (list.children[index] !== card) list.insertBefore(card, list.children[index] ?? null);
  });
  for (const [key, card] of cards) {
    if (!seen.has(key)) {
      card.remove();
      cards.delete(key);
    }
  }
  byId('empty').hidden = view.count > 0;
  const hidden = view.count - view.orders.length;
  byId('more').hidden = hidden === 0;
  byId('more').textContent = `另有 ${hidden} 个较早的订单 ${hidden} older orders`;
}

/** Shows what happened, for a while. */
function showMessage(kind, text) {
  const element = byId('message');
  element.textContent = text;
  element.dataset.kind = kind;
  element.hidden = false;
  clearTimeout(element.timer);
  element.timer = setTimeout(() => { element.hidden = true; }, 8000);
}

async function post(operation, body) {
  const reply = await fetch(`/_mock/${operation}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const answer = await reply.json();
  if (!reply.ok) throw new Error(`${answer.code}: ${answer.message}`);
  return answer;
}

const DONE = {
  pay: '已付款 Paid', cancel: '买家放弃了付款 The buyer turned away',
  expire: '订单已过期 The order has expired', notifications: '已重新通知 Sent again',
  refund: '已申请退款 The refund is on its way',
};

async function act(card, button, more) {
  const { provider, out_trade_no } = card.order;
  await perform(button, button.dataset.act, { provider, out_trade_no, ...more });
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

/** The purchase that a pasted text names, as the control operations take it. */
function purchase(text) {
  if (text.startsWith('weixin://')) return { provider: 'wxpay', code_url: text };
  if (text.startsWith('https://wx.tenpay.com/')) return { provider: 'wxpay', h5_url: text };
  if (text.startsWith('wx')) return { provider: 'wxpay', prepay_id: text };
  if (text.startsWith('https://qr.alipay.com/')) return { provider: 'alipay', code_url: text };
  if (/^\d{28}$/.test(text)) return { provider: 'alipay', trade_no: text };
  if (/^https?:\/\//.test(text)) return { provider: 'alipay', pay_url: text };
  return { provider: 'alipay', order_string: text };
}

async function refresh() {
  const line = byId('line');
  try {
    const reply = await fetch('/_mock/cashier', { signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!reply.ok) throw new Error(`HTTP ${reply.status}`);
    const text = await reply.text();
    if (text !== shown) render(JSON.parse(text));
    shown = text;
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

/** Fills in the text with which an Alipay pay page links here. */
function takePasted() {
  const given = location.hash.match(/^#pay=(.*)$/);
  if (!given) return;
  byId('with').value = decodeURIComponent(given[1]);
  byId('other').open = true;
  byId('with').focus();
  history.replaceState(null, '', '/');
}

byId('paste').addEventListener('submit', async (event) => {
  event.preventDefault();
  const pasted = byId('with');
  if (await perform(event.submitter, 'pay', purchase(pasted.value.trim()))) pasted.value = '';
});
document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });
window.addEventListener('hashchange', takePasted);
takePasted();
watch();
