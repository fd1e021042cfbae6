//! Records that the Kinesis Producer Library has put into one.
//!
//! Source: <https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>

use md5::{Digest as _, Md5};

use super::{DecodeError, DecodeErrorKind, varint};

/// What a record begins with that is made of others.
const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];

/// How long the checksum at the end is, in bytes.
const CHECKSUM: usize = 16;

const FORMAT: &str = "aggregated record";

/// A record as its producer put it.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(in crate::batch) struct UserRecord {
    pub(in crate::batch) partition_key: String,
    pub(in crate::batch) explicit_hash_key: Option<String>,
    pub(in crate::batch) data: Vec<u8>,
}

/// Takes apart what the library has put together; `None` for a record that is not aggregated.
///
/// The order is that in which the producer put the records. A producer that knows nothing of the
/// library may begin a record with its magic number by chance, once in four billion; that one fails.
pub(in crate::batch) fn deaggregate(data: &[u8]) -> Result<Option<Vec<UserRecord>>, DecodeError> {
    let Some(rest) = data.strip_prefix(&MAGIC) else {
        return Ok(None);
    };
    let error = |kind| DecodeError::new(FORMAT, kind);
    let (message, checksum) = rest
        .split_last_chunk::<CHECKSUM>()
        .ok_or_else(|| error(DecodeErrorKind::Syntax))?;
    if Md5::digest(message).as_slice() != checksum {
        return Err(error(DecodeErrorKind::Checksum));
    }
    let records = records(message).ok_or_else(|| error(DecodeErrorKind::Syntax))?;
    Ok(Some(records))
}

/// Reads the message:
///
/// ```proto
/// message AggregatedRecord {
///   repeated string partition_key_table = 1;
///   repeated string explicit_hash_key_table = 2;
///   repeated Record records = 3;
/// }
/// ```
fn records(message: &[u8]) -> Option<Vec<UserRecord>> {
    let (mut partition_keys, mut hash_keys) = (Vec::new(), Vec::new());
    each_field(message, |field, value| {
        match field {
            1 => partition_keys.push(value.text()?),
            2 => hash_keys.push(value.text()?),
            _ => {}
        }
        Some(())
    })?;
    // Only now, as the tables need not come first.
    let mut records = Vec::new();
    each_field(message, |field, value| {
        if field == 3 {
            records.push(record(value.bytes()?, &partition_keys, &hash_keys)?);
        }
        Some(())
    })?;
    Some(records)
}

/// Reads a record, which points into the tables of keys:
///
/// ```proto
/// message Record {
///   required uint64 partition_key_index = 1;
///   optional uint64 explicit_hash_key_index = 2;
///   required bytes data = 3;
///   repeated Tag tags = 4; // nobody writes them
/// }
/// ```
fn record(message: &[u8], partition_keys: &[&str], hash_keys: &[&str]) -> Option<UserRecord> {
    let (mut partition_key, mut hash_key, mut data) = (None, None, None);
    each_field(message, |field, value| {
        match field {
            1 => partition_key = Some(value.entry_of(partition_keys)?),
            2 => hash_key = Some(value.entry_of(hash_keys)?),
            3 => data = Some(value.bytes()?),
            _ => {}
        }
        Some(())
    })?;
    Some(UserRecord {
        partition_key: partition_key?.to_owned(),
        explicit_hash_key: hash_key.map(str::to_owned),
        data: data?.to_owned(),
    })
}

/// The value of a field, by how it is written.
///
/// Source: <https://protobuf.dev/programming-guides/encoding/>
#[derive(Clone, Copy)]
enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Of four or eight bytes; the message has none of this kind.
    Fixed,
}

impl<'a> Value<'a> {
    fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn entry_of(self, table: &[&'a str]) -> Option<&'a str> {
        match self {
            Self::Varint(index) => table.get(usize::try_from(index).ok()?).copied(),
            _ => None,
        }
    }
}

/// Calls with the number and the value of each field, until there are no more.
fn each_field<'a>(
    mut message: &'a [u8],
    mut visit: impl FnMut(u64, Value<'a>) -> Option<()>,
) -> Option<()> {
    while !message.is_empty() {
        let key = varint::unsigned(&mut message)?;
        let value = match key & 0b111 {
            0 => Value::Varint(varint::unsigned(&mut message)?),
            1 => varint::bytes(&mut message, 8).map(|_| Value::Fixed)?,
            2 => {
                let length = varint::unsigned(&mut message)?;
                Value::Bytes(varint::bytes(&mut message, length)?)
            }
            5 => varint::bytes(&mut message, 4).map(|_| Value::Fixed)?,
            // Groups, which were given up before the library was written, and what does not exist.
            _ => return None,
        };
        visit(key >> 3, value)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    /// What another implementation has made of one record with the key `partition_key` and the data
    /// `data`.
    ///
    /// Source: <https://hex.pm/packages/ex_kpl>
    const OF_ANOTHER: [u8; 45] = [
        243, 137, 154, 194, 10, 13, 112, 97, 114, 116, 105, 116, 105, 111, 110, 95, 107, 101, 121,
        26, 8, 8, 0, 26, 4, 100, 97, 116, 97, 208, 54, 153, 218, 90, 34, 47, 163, 33, 8, 173, 27,
        217, 85, 161, 78,
    ];

    fn varint(out: &mut Vec<u8>, mut number: u64) {
        while number > 0x7f {
            out.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    }

    fn bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
        varint(out, field << 3 | 2);
        varint(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }

    fn number(out: &mut Vec<u8>, field: u64, number: u64) {
        varint(out, field << 3);
        varint(out, number);
    }

    fn sealed(message: &[u8]) -> Vec<u8> {
        [&MAGIC, message, Md5::digest(message).as_slice()].concat()
    }

    fn aggregate(records: &[UserRecord], tables_first: bool) -> Vec<u8> {
        let (mut tables, mut list) = (Vec::new(), Vec::new());
        let mut hash_keys = 0;
        for (index, record) in records.iter().enumerate() {
            bytes(&mut tables, 1, record.partition_key.as_bytes());
            let mut one = Vec::new();
            number(&mut one, 1, index as u64);
            if let Some(key) = &record.explicit_hash_key {
                bytes(&mut tables, 2, key.as_bytes());
                number(&mut one, 2, hash_keys);
                hash_keys += 1;
            }
            bytes(&mut one, 3, &record.data);
            // A tag, and a field that nobody knows.
            bytes(&mut one, 4, b"\x0a\x01a");
            varint(&mut one, 9 << 3 | 5);
            one.extend_from_slice(b"1234");
            bytes(&mut list, 3, &one);
        }
        sealed(
            &if tables_first {
                [tables, list]
            } else {
                [list, tables]
            }
            .concat(),
        )
    }

    fn kind(data: &[u8]) -> DecodeErrorKind {
        deaggregate(data).unwrap_err().kind()
    }

    /// A message of one record of these bytes, in a table of one key.
    fn one(record: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        bytes(&mut message, 1, b"key");
        bytes(&mut message, 3, record);
        sealed(&message)
    }

    #[test]
    fn what_is_not_aggregated_is_left_alone() {
        for data in [&b""[..], b"\xF3\x89\x9A", b"{}", &OF_ANOTHER[1..]] {
            assert!(deaggregate(data).unwrap().is_none());
        }
    }

    #[test]
    fn a_record_of_another_implementation_is_taken_apart() {
        let records = deaggregate(&OF_ANOTHER).unwrap().unwrap();
        let [record] = &records[..] else {
            panic!("{}", records.len());
        };
        assert_eq!(record.partition_key, "partition_key");
        assert_eq!(record.explicit_hash_key, None);
        assert_eq!(record.data, b"data");
    }

    #[test]
    fn a_record_of_none_has_none() {
        assert!(deaggregate(&sealed(b"")).unwrap().unwrap().is_empty());
    }

    #[test]
    fn a_record_that_is_cut_off_or_changed_fails() {
        for end in MAGIC.len()..MAGIC.len() + CHECKSUM {
            assert_eq!(kind(&OF_ANOTHER[..end]), DecodeErrorKind::Syntax);
        }
        for end in MAGIC.len() + CHECKSUM..OF_ANOTHER.len() {
            assert_eq!(kind(&OF_ANOTHER[..end]), DecodeErrorKind::Checksum);
        }
        for changed in MAGIC.len()..OF_ANOTHER.len() {
            let mut data = OF_ANOTHER;
            data[changed] ^= 1;
            assert_eq!(kind(&data), DecodeErrorKind::Checksum);
        }
    }

    #[test]
    fn a_record_that_misses_something_fails() {
        let broken: [&[u8]; 8] = [
            b"",                          // no key, no data
            b"\x08\x00",                  // no data
            b"\x1a\x01d",                 // no key
            b"\x08\x01\x1a\x01d",         // a key that is not in the table
            b"\x08\x00\x10\x00\x1a\x01d", // a hash key that is not in the table
            b"\x08\x00\x1a\x7fd",         // data that goes on after the end
            b"\x08\x00\x18\x01",          // data that is a number
            b"\x08\x00\x1a\x01d\x0b",     // a group
        ];
        for record in broken {
            assert_eq!(kind(&one(record)), DecodeErrorKind::Syntax, "{record:?}");
        }
        assert!(deaggregate(&one(b"\x08\x00\x1a\x01d")).is_ok());
        // A key that is not UTF-8.
        assert_eq!(kind(&sealed(b"\x0a\x01\xff")), DecodeErrorKind::Syntax);
    }

    #[test]
    fn an_error_shows_nothing_of_the_record() {
        let error = deaggregate(&one(b"\x08\x07\x1a\x06secret")).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(
            shown.starts_with("cannot decode aggregated record"),
            "{shown}"
        );
        assert!(
            !shown.contains("secret") && !shown.contains("key"),
            "{shown}"
        );
    }

    fn user_record() -> impl Strategy<Value = UserRecord> {
        (
            ".{0,8}",
            option::of("[0-9]{1,39}"),
            vec(any::<u8>(), 0..300),
        )
            .prop_map(|(partition_key, explicit_hash_key, data)| UserRecord {
                partition_key,
                explicit_hash_key,
                data,
            })
    }

    proptest! {
        #[test]
        fn records_come_back_in_their_order(
            records in vec(user_record(), 0..20),
            tables_first: bool,
        ) {
            let read = deaggregate(&aggregate(&records, tables_first)).unwrap().unwrap();
            prop_assert!(read == records);
        }

        #[test]
        fn no_bytes_make_it_panic(message in vec(any::<u8>(), 0..200)) {
            drop(deaggregate(&message));
            drop(deaggregate(&[&MAGIC, &message[..]].concat()));
            drop(deaggregate(&sealed(&message)));
            drop(deaggregate(&one(&message)));
        }
    }
}
