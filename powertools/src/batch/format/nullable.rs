use super::{Data, DecodeError, Format};

/// Takes records without data, as Kafka has them for a key that was deleted, for `None`, and leaves
/// all others to another format.
///
/// The payload is an `Option`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nullable<F>(pub F);

impl<T, F> Format<Option<T>> for Nullable<F>
where
    T: Send + 'static,
    F: Format<T>,
{
    const AFTER_SUCCESS: bool = F::AFTER_SUCCESS;

    async fn decode<'a>(&'a self, data: Data<'a>) -> Result<Option<T>, DecodeError> {
        if data.is_null() {
            return Ok(None);
        }
        self.0.decode(data).await.map(Some)
    }

    async fn after_success<'a>(&'a self, data: Data<'a>) {
        if !data.is_null() {
            self.0.after_success(data).await;
        }
    }
}
