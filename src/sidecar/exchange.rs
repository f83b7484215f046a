//! One request and its response on a connection of ours: the rules of HTTP that hold whichever
//! service answers.

use std::error::Error;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, UPGRADE};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tower_service::Service;

use super::activity::{Activity, InFlight, Limits};
use super::client_body::ClientBody;
use super::process_mark::ProcessMark;
use super::proxy::tunnel::TunnelSlot;
use super::responses::{RefusalContext, SidecarRefusal};
use super::stream_stall::StreamProgress;
use crate::error::Kind;
use crate::guard::request_head::{METHODS, check_request_head};

/// The peer's address of the connection that carries a request: an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// What the requests of one connection share.
#[derive(Clone)]
pub(super) struct ConnectionParts<S> {
    pub(super) service: S,
    pub(super) limits: Limits,
    pub(super) peer: SocketAddr,
    pub(super) activity: Arc<Activity>,
    pub(super) tunnel: TunnelSlot,
    pub(super) mark: ProcessMark,
}

impl<S, B> ConnectionParts<S>
where
    S: Service<Request<ClientBody>, Response = Response<B>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Refuses the request, or has the service answer it.
    pub(super) async fn answer(
        mut self,
        request: Request<Incoming>,
    ) -> Result<Response<ResponseStream<B>>, S::Error> {
        let in_flight = self.activity.begin(request.version());
        let (method, version) = (request.method().clone(), request.version());
        let has_fragment = in_flight.has_fragment();
        let checked = match has_fragment {
            // RFC 9112, 3.2; what hyper gives is the target without it.
            true => Err(SidecarRefusal::Of(Kind::BadRequest)),
            false => check(&request, &self.mark),
        };
        let (mut parts, body) = request.into_parts();
        let body = ClientBody::new(body, &self.limits);
        let progress = body.progress();
        let response = match checked {
            Err(refusal) => RefusalContext::of(&parts.headers).refuse(refusal).map(Either::Right),
            Ok(()) => {
                parts.extensions.insert(PeerAddr(self.peer));
                if parts.headers.contains_key(UPGRADE) {
                    parts.extensions.insert(self.tunnel.clone());
                }
                let request = Request::from_parts(parts, body);
                poll_fn(|cx| self.service.poll_ready(cx)).await?;
                self.service.call(request).await?.map(Either::Left)
            }
        };
        let mut response = response;
        // The rest of the body would be taken for the next request (RFC 9112, 9.6).
        let body_unread = version < Version::HTTP_2 && !progress.has_ended();
        if body_unread {
            self.activity.leaves_body_unread();
        }
        // The fragments behind a first one are not counted.
        let is_last = body_unread || has_fragment;
        if is_last && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.activity.begins_response();
        Ok(ResponseStream::of(response, &method, in_flight))
    }
}

fn check(request: &Request<Incoming>, mark: &ProcessMark) -> Result<(), SidecarRefusal> {
    match check_request_head(request) {
        Err(error) if error.kind() == Kind::MethodNotAllowed => {
            Err(SidecarRefusal::Method(METHODS))
        }
        Err(error) => Err(SidecarRefusal::Of(error.kind())),
        Ok(()) if mark.is_on(request.headers()) => Err(SidecarRefusal::Loop),
        Ok(()) => Ok(()),
    }
}

pin_project_lite::pin_project! {
    /// A response's body, whose request is in flight while it lives.
    #[derive(Debug)]
    pub(super) struct ResponseStream<B> {
        #[pin]
        body: Option<Either<B, Full<Bytes>>>,
        progress: Option<Arc<StreamProgress>>,
        in_flight: InFlight,
    }
}

impl<B> ResponseStream<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// The body of a response to HEAD is its length alone: a server of HTTP/2 would send it.
    fn of(
        mut response: Response<Either<B, Full<Bytes>>>,
        method: &Method,
        in_flight: InFlight,
    ) -> Response<ResponseStream<B>> {
        let is_head = method == Method::HEAD;
        let length = response.body().size_hint().exact().filter(|length| *length > 0);
        if let Some(length) = length
            && is_head
        {
            response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| length.into());
        }
        let progress = StreamProgress::current();
        if let Some(progress) = &progress {
            progress.waits_for_peer();
        }
        response.map(|body| {
            let body = (!is_head).then_some(body);
            ResponseStream { body, progress, in_flight }
        })
    }
}

impl<B> Body for ResponseStream<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.project();
        let Some(body) = this.body.as_pin_mut() else { return Poll::Ready(None) };
        let polled = body.poll_frame(cx);
        if let Some(progress) = this.progress {
            match polled {
                Poll::Pending => progress.waits_for_source(),
                Poll::Ready(_) => progress.waits_for_peer(),
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
