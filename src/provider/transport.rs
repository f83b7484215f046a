//! stub
#[derive(Debug)]
/// x
pub struct Http;
impl Http {
    /// x
    pub fn new() -> Result<Http, String> {
        Err(String::new())
    }
}
impl super::Transport for Http {
    fn send<'a>(
        &'a self,
        _: http::Request<bytes::Bytes>,
        _: std::time::Duration,
    ) -> super::BoxFuture<'a, Result<http::Response<bytes::Bytes>, super::TransportFailure>> {
        Box::pin(async { Err(super::TransportFailure::NotSent(String::new())) })
    }
}
