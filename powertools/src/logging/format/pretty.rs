use std::{borrow::Cow, io::Write as _};

use super::{TimeStyle, Zone};
use crate::logging::{Format, Line};

/// What is the same on every line of a function that is being developed.
const LEFT_OUT: [&str; 4] = [
    r#""cold_start""#,
    r#""function_name""#,
    r#""function_memory_size""#,
    r#""function_arn""#,
];

/// Lines for people, for development: used when `POWERTOOLS_DEV` is on.
///
/// ```text
/// 2026-11-23T06:58:19.081Z  INFO orders::place:17 order placed  total=2500 function_request_id="52fdfc07"
/// ```
///
/// Lambda's own log filter reads JSON only.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct PrettyFormat;

impl PrettyFormat {
    /// Makes the format.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Format for PrettyFormat {
    fn write(&self, line: &Line<'_>, output: &mut Vec<u8>) {
        let start = output.len();
        Zone::default().write(TimeStyle::Rfc3339, line.timestamp, output);
        output.retain({
            let mut index = 0;
            move |byte| {
                index += 1;
                index <= start || *byte != b'"'
            }
        });
        // A `Vec` takes whatever is written.
        let _ = write!(
            output,
            " {:>5} {} {}",
            line.level(),
            line.location(),
            text(line.message())
        );
        let fields = line.fields().filter(|(name, _)| !LEFT_OUT.contains(name));
        for (index, (name, value)) in fields.enumerate() {
            let space = if index == 0 { "  " } else { " " };
            let _ = write!(output, "{space}{}={value}", text(name));
        }
    }
}

/// Returns a JSON string without its quotes if it can be shown as it is, and other JSON untouched.
fn text(json: &str) -> Cow<'_, str> {
    match serde_json::from_str::<String>(json) {
        Ok(text) if !text.contains(char::is_control) => Cow::Owned(text),
        _ => Cow::Borrowed(json),
    }
}
