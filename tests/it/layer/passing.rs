//! A request that is not a payment operation goes to the inner service in place.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, StreamBody};
use paygate::CallerContext;
use tower::{Layer, Service, ServiceExt, service_fn};

use super::{create, empty, open_layer, order, shop_page};

/// An error of an app's own service.
#[derive(Debug, PartialEq)]
struct ShopFailed(&'static str);

/// An app's service that cannot be cloned, whose futures cannot be sent to another thread, and
/// which must be asked whether it is ready before each call.
struct Particular {
    ready: bool,
    fails: Option<&'static str>,
    polls: Rc<std::cell::Cell<u32>>,
}

impl Particular {
    fn new() -> Particular {
        Particular { ready: false, fails: None, polls: Rc::default() }
    }
}

impl<B> Service<Request<B>> for Particular {
    type Response = Response<Full<Bytes>>;
    type Error = ShopFailed;
    type Future = Slow;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ShopFailed>> {
        self.polls.set(self.polls.get() + 1);
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Slow {
        assert!(std::mem::take(&mut self.ready), "called without being ready");
        Slow { fails: self.fails, polled: false, _here: self.polls.clone() }
    }
}

/// A future that is done at the second poll and stays on its thread.
struct Slow {
    fails: Option<&'static str>,
    polled: bool,
    _here: Rc<std::cell::Cell<u32>>,
}

impl Future for Slow {
    type Output = Result<Response<Full<Bytes>>, ShopFailed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !std::mem::replace(&mut self.polled, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(match self.fails {
            Some(why) => Err(ShopFailed(why)),
            None => Ok(Response::new(Full::from("shop"))),
        })
    }
}

/// A body that must not be read.
struct Unread;

impl Body for Unread {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        panic!("the body was read");
    }
}

/// Waits until `service` is ready for a request.
async fn ready<S>(service: &mut S) -> &mut S
where
    S: Service<Request<Full<Bytes>>, Error: std::fmt::Debug>,
{
    service.ready().await.unwrap()
}

#[tokio::test]
async fn a_service_that_cannot_be_cloned_or_sent_is_called_where_it_is() {
    let layer = open_layer().await;
    let mut service = layer.layer(Particular::new());
    for _ in 0..2 {
        let called = ready(&mut service).await.call(empty(Request::get("/tea")));
        // No box: the inner future only grows by the tag of the enum.
        assert!(size_of_val(&called) <= size_of::<Slow>() + size_of::<usize>());
        let response = called.await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "shop");
    }
}

#[tokio::test]
async fn readiness_is_the_inner_services_own_and_one_poll_is_one_poll() {
    let inner = Particular::new();
    let polls = inner.polls.clone();
    let mut service = open_layer().await.layer(inner);
    poll_fn(|cx| Service::<Request<Full<Bytes>>>::poll_ready(&mut service, cx)).await.unwrap();
    assert_eq!(polls.get(), 1);
    assert!(service.call(empty(Request::get("/"))).await.is_ok());
    assert_eq!(polls.get(), 1);
}

#[tokio::test]
async fn a_service_that_is_not_ready_is_not_made_ready_by_its_clone() {
    /// The trap that tower warns of: a clone of a ready service is not ready.
    struct Trap(bool);
    impl Clone for Trap {
        fn clone(&self) -> Trap {
            Trap(false)
        }
    }
    impl<B> Service<Request<B>> for Trap {
        type Response = Response<Full<Bytes>>;
        type Error = std::convert::Infallible;
        type Future = std::future::Ready<Result<Self::Response, Self::Error>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            self.0 = true;
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, request: Request<B>) -> Self::Future {
            assert!(self.0, "a clone was called that was never ready");
            shop_page(request)
        }
    }
    let mut service = open_layer().await.layer(Trap(false)).clone();
    let ready = ready(&mut service).await;
    assert!(ready.call(empty(Request::get("/"))).await.is_ok());
    // A payment operation does not wait for the shop's page to be idle either.
    let other = ready.clone().call(create(&order(1))).await.unwrap();
    assert_eq!(other.status(), 200);
}

#[tokio::test]
async fn a_pending_service_stays_pending() {
    struct Never;
    impl<B> Service<Request<B>> for Never {
        type Response = Response<Full<Bytes>>;
        type Error = ShopFailed;
        type Future = Slow;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ShopFailed>> {
            Poll::Pending
        }
        fn call(&mut self, _: Request<B>) -> Slow {
            panic!("called without being ready");
        }
    }
    let mut service = open_layer().await.layer(Never);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Service::<Request<Full<Bytes>>>::poll_ready(&mut service, &mut cx).is_pending());
}

#[tokio::test]
async fn the_inner_services_error_comes_out_unchanged() {
    let layer = open_layer().await;
    let failing = Particular { fails: Some("sold out"), ..Particular::new() };
    let error = layer.layer(failing).oneshot(empty(Request::get("/"))).await.unwrap_err();
    assert_eq!(error, ShopFailed("sold out"));
}

#[tokio::test]
async fn the_request_arrives_as_it_was_and_unread() {
    let layer = open_layer().await;
    let inner = service_fn(async |request: Request<Unread>| {
        assert_eq!(request.uri(), "/pay/../tea?createPayment=%2Fpay");
        assert_eq!(request.method(), "PROPFIND");
        assert_eq!(request.headers().get_all("x-twice").iter().count(), 2);
        assert!(request.headers().get("x-request-id").is_none(), "nothing is added");
        assert_eq!(request.extensions().get(), Some(&7_u8));
        assert!(request.extensions().get::<CallerContext>().is_none(), "unless asked for");
        Ok::<_, ShopFailed>(Response::new(Full::<Bytes>::default()))
    });
    let request = Request::builder()
        .method("PROPFIND")
        .uri("/pay/../tea?createPayment=%2Fpay")
        .header("x-twice", "a")
        .header("x-twice", "b")
        .extension(7_u8)
        .body(Unread)
        .unwrap();
    assert!(layer.layer(inner).oneshot(request).await.is_ok());
}

#[tokio::test]
async fn the_response_leaves_as_it_was_frame_by_frame() {
    let layer = open_layer().await;
    let inner = service_fn(async |_: Request<Full<Bytes>>| {
        let trailers = HeaderMap::from_iter([(
            http::HeaderName::from_static("x-sum"),
            http::HeaderValue::from_static("2"),
        )]);
        let frames: [Result<_, ShopFailed>; 3] = [
            Ok(Frame::data(Bytes::from_static(b"one"))),
            Ok(Frame::trailers(trailers)),
            Err(ShopFailed("cut off")),
        ];
        let body = StreamBody::new(futures_util::stream::iter(frames));
        Ok::<_, ShopFailed>(Response::builder().status(206).header("etag", "x").body(body).unwrap())
    });
    let response = layer.layer(inner).oneshot(empty(Request::get("/"))).await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers().len()), (206, 1));
    let mut body = pin!(response.into_body());
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap()["x-sum"], "2");
    assert_eq!(body.frame().await.unwrap().unwrap_err(), ShopFailed("cut off"));
}

#[tokio::test]
async fn a_bodys_length_stays_known() {
    let layer = open_layer().await;
    let length = |body: &dyn Body<Data = Bytes, Error = std::convert::Infallible>| {
        (SizeHint::exact(&body.size_hint()), body.is_end_stream())
    };
    let passed = layer.layer(service_fn(async |it| shop_page(it).await));
    let passed = passed.oneshot(empty(Request::get("/"))).await.unwrap().into_body();
    assert_eq!(length(&passed), (Some(7), false));
    let payment =
        layer.layer(super::Untouched).oneshot(create(&order(1))).await.unwrap().into_body();
    let (announced, ended) = length(&payment);
    assert!(!ended);
    let bytes = payment.collect().await.unwrap().to_bytes();
    assert_eq!(announced, u64::try_from(bytes.len()).ok());
}
