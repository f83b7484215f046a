//! Delivers notifications to an app in the same process.

use std::future::poll_fn;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower_service::Service;

use super::in_process::InProcess;
use super::notifier::SignedNotification;

impl InProcess {
    /// Delivers every notification that is due to `app`: a service with a
    /// [`PaymentLayer`](crate::PaymentLayer) around it, such as axum's `Router`. Returns the
    /// statuses of the answers. As at a real provider, a notification without an acknowledgement
    /// comes again after some time.
    pub async fn deliver_to<S, R>(&self, app: &S) -> Vec<StatusCode>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone,
        R: Body,
    {
        let mut statuses = Vec::new();
        for notification in self.notifications() {
            match post(app.clone(), &notification).await {
                Some((status, body)) => {
                    self.record_answer(&notification, status.as_u16(), &body);
                    statuses.push(status);
                }
                None => self.record_no_answer(&notification, "the app did not answer"),
            }
        }
        statuses
    }
}

async fn post<S, R>(mut app: S, notification: &SignedNotification) -> Option<(StatusCode, Bytes)>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>>,
    R: Body,
{
    let SignedNotification { url, headers, body, .. } = notification;
    let mut request = Request::new(Full::from(body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.path().parse().ok()?;
    *request.headers_mut() = headers.clone();
    request.headers_mut().insert(HOST, HeaderValue::from_str(url.authority()).ok()?);
    poll_fn(|context| app.poll_ready(context)).await.ok()?;
    let (parts, body) = app.call(request).await.ok()?.into_parts();
    Some((parts.status, body.collect().await.ok()?.to_bytes()))
}
