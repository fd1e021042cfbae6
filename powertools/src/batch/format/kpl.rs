//! Records that the Kinesis Producer Library has put into one.

use super::DecodeError;

/// A record as its producer put it.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::batch) struct UserRecord {
    pub(in crate::batch) partition_key: String,
    pub(in crate::batch) explicit_hash_key: Option<String>,
    pub(in crate::batch) data: Vec<u8>,
}

/// Takes apart what the library has put together; `None` for a record that is not aggregated.
pub(in crate::batch) fn deaggregate(data: &[u8]) -> Result<Option<Vec<UserRecord>>, DecodeError> {
    let _ = data;
    Ok(None)
}
