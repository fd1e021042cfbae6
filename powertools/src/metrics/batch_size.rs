/// Counts the items of a request that is a batch.
///
/// Implemented for closures `Fn(&Request) -> usize`, and for `()`, which counts none.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not count the items of `{Request}`",
    note = "a closure is of the form `|event: &LambdaEvent<SqsEvent>| event.payload.records.len()`"
)]
pub trait BatchSize<Request> {
    /// Returns how many items the request has, or `None` if it is not a batch.
    fn batch_size(&self, request: &Request) -> Option<usize>;
}

impl<Request> BatchSize<Request> for () {
    fn batch_size(&self, _: &Request) -> Option<usize> {
        None
    }
}

impl<F, Request> BatchSize<Request> for F
where
    F: Fn(&Request) -> usize,
{
    fn batch_size(&self, request: &Request) -> Option<usize> {
        Some(self(request))
    }
}
