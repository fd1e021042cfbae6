/// Finds the correlation id in a request.
///
/// Implemented for closures `Fn(&Request) -> Option<String>`, and for `()`, which finds none.
pub trait CorrelationId<Request> {
    /// Returns the request's correlation id.
    fn correlation_id(&self, request: &Request) -> Option<String>;
}

impl<Request> CorrelationId<Request> for () {
    fn correlation_id(&self, _: &Request) -> Option<String> {
        None
    }
}

impl<F, Request> CorrelationId<Request> for F
where
    F: Fn(&Request) -> Option<String>,
{
    fn correlation_id(&self, request: &Request) -> Option<String> {
        self(request)
    }
}
