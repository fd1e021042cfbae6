use lambda_runtime::{Context, LambdaEvent, LambdaInvocation};

/// A request that knows the invocation it belongs to.
///
/// Every layer of this crate asks for it, so one layer serves every way a handler can be run:
///
/// | request | where |
/// |---|---|
/// | [`LambdaEvent<T>`] | around a handler given to `lambda_runtime::run` or `run_concurrent` |
/// | [`LambdaInvocation`] | at `Runtime::layer`, where the answer has already been sent |
/// | `batch::Record<T>` (feature `batch`) | around the handler of a batch's record |
/// | `http::Request<B>` (feature `http`) | around a handler given to `lambda_http::run` |
///
/// The trait is sealed: it is implemented here for the requests of the Lambda runtime only.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no request of the Lambda runtime",
    note = "for `http::Request` switch on the feature `http` of powertools"
)]
pub trait HasContext: sealed::Sealed {
    /// Returns the context of the invocation, if the request carries one.
    ///
    /// An `http::Request` that did not come through lambda_http has none. In a test it gets one by
    /// `request.extensions_mut().insert(testing::context("52fdfc07"))`.
    fn context(&self) -> Option<&Context>;
}

impl<T> HasContext for LambdaEvent<T> {
    fn context(&self) -> Option<&Context> {
        Some(&self.context)
    }
}

impl HasContext for LambdaInvocation {
    fn context(&self) -> Option<&Context> {
        Some(&self.context)
    }
}

#[cfg(feature = "batch")]
impl<T, M> HasContext for crate::batch::Record<T, M> {
    fn context(&self) -> Option<&Context> {
        Some(Self::context(self))
    }
}

#[cfg(feature = "batch")]
impl<T, State, M> HasContext for crate::batch::WindowStep<T, State, M> {
    fn context(&self) -> Option<&Context> {
        Some(Self::context(self))
    }
}

#[cfg(feature = "http")]
impl<B> HasContext for http::Request<B> {
    fn context(&self) -> Option<&Context> {
        self.extensions().get()
    }
}

mod sealed {
    use super::{LambdaEvent, LambdaInvocation};

    pub trait Sealed {}

    impl<T> Sealed for LambdaEvent<T> {}
    impl Sealed for LambdaInvocation {}
    #[cfg(feature = "batch")]
    impl<T, M> Sealed for crate::batch::Record<T, M> {}
    #[cfg(feature = "batch")]
    impl<T, State, M> Sealed for crate::batch::WindowStep<T, State, M> {}
    #[cfg(feature = "http")]
    impl<B> Sealed for http::Request<B> {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request_id(request: &impl HasContext) -> Option<&str> {
        request.context().map(|context| context.request_id.as_str())
    }

    fn context() -> Context {
        let mut context = Context::default();
        context.request_id = "52fdfc07".to_owned();
        context
    }

    #[test]
    fn an_event_carries_its_context() {
        assert_eq!(
            request_id(&LambdaEvent::new((), context())),
            Some("52fdfc07")
        );
    }

    #[cfg(feature = "http")]
    #[test]
    fn an_http_request_carries_the_context_that_lambda_http_put_there() {
        let mut request = http::Request::new(());
        assert_eq!(request_id(&request), None);
        request.extensions_mut().insert(context());
        assert_eq!(request_id(&request), Some("52fdfc07"));
    }
}
