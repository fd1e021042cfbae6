//! What differs from run to run, taken out of written lines before they are compared.

use crate::json::Json;

/// Returns what is compared: log lines and EMF objects are read here, everything else stays as it is.
pub(crate) fn normalise(op: &str, given: &Json, out: &Json) -> Result<Json, String> {
    match (op, out) {
        ("logger.line", Json::Array(lines)) => {
            let lines = lines.iter().map(log_line).collect::<Result<_, _>>()?;
            Ok(Json::Array(lines))
        }
        ("metrics.emf", Json::Array(lines)) => {
            let own = timestamps(given);
            let lines = lines.iter().map(|line| emf_object(line, &own));
            Ok(Json::Array(lines.collect::<Result<_, _>>()?))
        }
        _ => Ok(out.clone()),
    }
}

/// The timestamps that a case sets itself.
fn timestamps(given: &Json) -> Vec<&Json> {
    let Some(Json::Array(steps)) = given.get("steps") else {
        return Vec::new();
    };
    steps.iter().filter_map(|step| step.get("ms")).collect()
}

/// An EMF object whose time of writing is 0, unless the case has set it.
fn emf_object(line: &Json, own: &[&Json]) -> Result<Json, String> {
    let mut object = read_line(line)?;
    let Some(Json::Object(mut aws)) = object.take("_aws") else {
        return Err(format!("not an EMF object: {line:?}"));
    };
    for (name, value) in &mut aws {
        if name == "Timestamp" && is_recent(value) && !own.contains(&&*value) {
            *value = Json::Number("0".to_owned());
        }
    }
    if let Json::Object(members) = &mut object {
        members.push(("_aws".to_owned(), Json::Object(aws)));
    }
    Ok(object)
}

/// A time in milliseconds that is later than September 2020.
fn is_recent(time: &Json) -> bool {
    matches!(time, Json::Number(text) if text.parse().is_ok_and(|ms: u64| ms >= 1_600_000_000_000))
}

fn read_line(line: &Json) -> Result<Json, String> {
    let text = line
        .as_str()
        .filter(|text| !text.contains('\n'))
        .ok_or_else(|| format!("not a line: {line:?}"))?;
    match Json::parse(text) {
        Ok(object @ Json::Object(_)) => Ok(object),
        Ok(_) => Err(format!("not an object: {text}")),
        Err(error) => Err(format!("not JSON ({error}): {text}")),
    }
}

/// A log line without its time and place, plus the order of its keys.
fn log_line(line: &Json) -> Result<Json, String> {
    let mut log = read_line(line)?;
    let members = match &log {
        Json::Object(members) => members.as_slice(),
        _ => &[],
    };
    let keys = members.iter().map(|(name, _)| Json::String(name.clone()));
    let keys = Json::Array(keys.collect());

    let timestamp = log.take("timestamp");
    let location = log.take("location");
    let holds = |text: Option<&Json>, is: fn(&str) -> bool| {
        Json::Bool(text.and_then(Json::as_str).is_some_and(is))
    };
    let mut normal = vec![
        (
            "timestamp_ok".to_owned(),
            holds(timestamp.as_ref(), is_timestamp),
        ),
        (
            "location_ok".to_owned(),
            holds(location.as_ref(), is_location),
        ),
    ];
    if log.get("exception_name").is_some() {
        let exception = log.take("exception");
        let is_text = holds(exception.as_ref(), |text| !text.is_empty());
        normal.push(("exception_ok".to_owned(), is_text));
        if let Json::Object(members) = &mut log
            && let Some((_, trace @ Json::Object(_))) =
                members.iter_mut().find(|(name, _)| name == "stack_trace")
        {
            let part = |name: &str| {
                (
                    name.to_owned(),
                    trace.get(name).cloned().unwrap_or(Json::Null),
                )
            };
            *trace = Json::Object(vec![part("type"), part("value")]);
        }
    }
    normal.push(("keys".to_owned(), keys));
    normal.push(("log".to_owned(), log));
    Ok(Json::Object(normal))
}

/// `<something>:<digits>`
fn is_location(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(place, line)| {
        !place.is_empty() && !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// A date and a time with 3 to 9 digits of fraction and an offset.
fn is_timestamp(text: &str) -> bool {
    fn matches(text: &str, pattern: &str) -> bool {
        text.len() == pattern.len()
            && text.chars().zip(pattern.chars()).all(|(c, p)| match p {
                '0' => c.is_ascii_digit(),
                'T' => matches!(c, 'T' | ' '),
                '.' => matches!(c, '.' | ','),
                '+' => matches!(c, '+' | '-'),
                p => c == p,
            })
    }
    let Some((time, rest)) = text.split_at_checked("0000-00-00T00:00:00.".len()) else {
        return false;
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let offset = &rest[digits..];
    matches(time, "0000-00-00T00:00:00.")
        && (3..=9).contains(&digits)
        && ["Z", "+00:00", "+0000"]
            .iter()
            .any(|pattern| matches(offset, pattern))
}

#[test]
fn the_times_of_both_forms_are_taken() {
    for time in [
        "2026-11-23T12:00:00.123Z",
        "2026-11-23 12:00:00,123+0000",
        "2026-11-23T12:00:00.123456789-05:30",
    ] {
        assert!(is_timestamp(time), "{time}");
    }
    for time in [
        "",
        "2026-11-23T12:00:00Z",
        "2026-11-23T12:00:00.12Z",
        "2026-11-23T12:00:00.1234567890Z",
        "2026-11-23T12:00:00.123",
        "23.11.2026 12:00:00.123Z",
    ] {
        assert!(!is_timestamp(time), "{time}");
    }
}

#[test]
fn a_log_line_keeps_the_order_of_its_keys_and_loses_time_and_place() {
    let line = r#"{"level":"ERROR","location":"a::b:12","message":"no","timestamp":"2026-11-23T12:00:00.123Z","exception":"Error: no","exception_name":"Error","stack_trace":{"type":"Error","value":"no","frames":[]}}"#;
    let expected = r#"{
        "timestamp_ok": true, "location_ok": true, "exception_ok": true,
        "keys": ["level", "location", "message", "timestamp", "exception", "exception_name", "stack_trace"],
        "log": {"level": "ERROR", "message": "no", "exception_name": "Error", "stack_trace": {"type": "Error", "value": "no"}}
    }"#;
    let line = Json::Array(vec![Json::String(line.to_owned())]);
    let normal = normalise("logger.line", &Json::Null, &line).unwrap();
    assert_eq!(normal, Json::Array(vec![Json::parse(expected).unwrap()]));
}

#[test]
fn what_is_no_line_is_a_difference() {
    for line in ["{\"a\":\n1}", "no", "[]"] {
        let lines = Json::Array(vec![Json::String(line.to_owned())]);
        assert!(
            normalise("logger.line", &Json::Null, &lines).is_err(),
            "{line}"
        );
    }
}

#[test]
fn an_emf_object_loses_the_time_that_the_case_did_not_set() {
    let given = Json::parse(r#"{"steps":[{"do":"timestamp","ms":1795392000000}]}"#).unwrap();
    let line = |time: &str| format!(r#"{{"_aws":{{"Timestamp":{time}}},"A":[1.0]}}"#);
    for (time, expected) in [
        ("1795392000000", "1795392000000"),
        ("1795392000001", "0"),
        ("12", "12"),
    ] {
        let lines = Json::Array(vec![Json::String(line(time))]);
        let normal = normalise("metrics.emf", &given, &lines).unwrap();
        let expected = Json::parse(&line(expected)).unwrap();
        assert_eq!(normal, Json::Array(vec![expected]), "{time}");
    }
}
