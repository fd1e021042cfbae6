use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// The event of a batch, its records still as they came.
///
/// To be handed to [`BatchService`](super::BatchService) by the runtime. Whatever JSON text comes, it
/// can be read: what is in a record is looked at later, record by record, so that one that is
/// malformed fails alone.
///
/// # Examples
///
/// ```
/// use powertools::batch::BatchEvent;
///
/// let event: BatchEvent = serde_json::from_str(
///     r#"{"Records":[{"messageId":"m1","body":"{\"id\":\"a1\"}","eventSource":"aws:sqs"}]}"#,
/// )?;
/// assert_eq!(event.len(), 1);
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct BatchEvent {
    /// `None` if the event has none, or something else in their place.
    pub(super) records: Option<Records>,
    /// Kafka's, which its records do not have.
    pub(super) source: Option<String>,
    pub(super) window: WindowMembers,
}

/// The records of an event, in its order.
#[derive(Clone, Default)]
pub(super) struct Records {
    pub(super) list: Vec<Box<RawValue>>,
    /// Whether they are in lists by topic and partition, as Kafka's are.
    pub(super) by_partition: bool,
}

/// What an event has of a tumbling window.
#[derive(Clone, Default)]
pub(super) struct WindowMembers {
    pub(super) bounds: Option<Bounds>,
    pub(super) state: Option<Box<RawValue>>,
    pub(super) shard_id: Option<String>,
    pub(super) is_final: bool,
    pub(super) is_early: bool,
}

#[derive(Clone, Deserialize)]
pub(super) struct Bounds {
    pub(super) start: String,
    pub(super) end: String,
}

impl BatchEvent {
    /// Returns how many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records
            .as_ref()
            .map_or(0, |records| records.list.len())
    }

    /// Returns whether there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Shows nothing of the records.
impl fmt::Debug for BatchEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchEvent")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl<'de> Deserialize<'de> for BatchEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EventVisitor)
    }
}

struct EventVisitor;

impl<'de> Visitor<'de> for EventVisitor {
    type Value = BatchEvent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<BatchEvent, A::Error> {
        let mut event = BatchEvent::default();
        while let Some(name) = members.next_key::<Member>()? {
            match name {
                Member::Records => event.records = members.next_value::<MaybeRecords>()?.0,
                Member::EventSource => event.source = lenient(&mut members)?,
                Member::State => event.window.state = Some(members.next_value()?),
                Member::Window => event.window.bounds = lenient(&mut members)?,
                Member::ShardId => event.window.shard_id = lenient(&mut members)?,
                Member::IsFinal => {
                    event.window.is_final = lenient(&mut members)?.unwrap_or_default();
                }
                Member::IsEarly => {
                    event.window.is_early = lenient(&mut members)?.unwrap_or_default();
                }
                Member::Other => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(event)
    }

    // An event that is something else has no records.

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<BatchEvent, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(BatchEvent::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<BatchEvent, E> {
        Ok(BatchEvent::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<BatchEvent, E> {
        Ok(BatchEvent::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<BatchEvent, E> {
        Ok(BatchEvent::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<BatchEvent, E> {
        Ok(BatchEvent::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<BatchEvent, E> {
        Ok(BatchEvent::default())
    }

    fn visit_unit<E>(self) -> Result<BatchEvent, E> {
        Ok(BatchEvent::default())
    }
}

#[derive(Deserialize)]
enum Member {
    #[serde(rename = "Records", alias = "records")]
    Records,
    #[serde(rename = "eventSource")]
    EventSource,
    #[serde(rename = "state")]
    State,
    #[serde(rename = "window")]
    Window,
    #[serde(rename = "shardId")]
    ShardId,
    #[serde(rename = "isFinalInvokeForWindow")]
    IsFinal,
    #[serde(rename = "isWindowTerminatesEarly")]
    IsEarly,
    #[serde(other)]
    Other,
}

/// Reads a member that counts as missing if it is not what it should be.
fn lenient<'de, T: DeserializeOwned, A: MapAccess<'de>>(
    members: &mut A,
) -> Result<Option<T>, A::Error> {
    let json = members.next_value::<Box<RawValue>>()?;
    Ok(serde_json::from_str(json.get()).ok())
}

/// What is in the records' place.
struct MaybeRecords(Option<Records>);

impl<'de> Deserialize<'de> for MaybeRecords {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RecordsVisitor).map(Self)
    }
}

struct RecordsVisitor;

impl<'de> Visitor<'de> for RecordsVisitor {
    type Value = Option<Records>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        // What the text says of its length is not to be trusted with memory.
        let mut list = Vec::with_capacity(items.size_hint().unwrap_or(0).min(1024));
        while let Some(record) = items.next_element()? {
            list.push(record);
        }
        Ok(Some(Records {
            list,
            by_partition: false,
        }))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut partitions: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while partitions.next_key::<IgnoredAny>()?.is_some() {
            if let MaybeRecords(Some(mut records)) = partitions.next_value()? {
                list.append(&mut records.list);
            }
        }
        Ok(Some(Records {
            list,
            by_partition: true,
        }))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}
