//! Every vector of every op that is answered, in this process and through the program.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use conformance::OPS;

use json::Json;

mod compare;
mod json;

/// One vector: a case and what is expected of it.
struct Vector {
    id: String,
    line: String,
    case: Json,
}

impl Vector {
    /// Returns what is wrong with an answer.
    fn check(&self, op: &str, answer: &str) -> Result<(), String> {
        let got = Json::parse(answer).map_err(|error| format!("not JSON ({error}): {answer}"))?;
        if got.get("id") != self.case.get("id") {
            return Err(format!("not the answer to this id: {answer}"));
        }
        let expected = self.case.get("expect").expect("a vector has `expect`");
        let is_right = match (expected.get("error"), got.get("out"), got.get("error")) {
            (Some(expected), None, Some(got)) => got == expected,
            (None, Some(out), None) => {
                let given = self.case.get("in").unwrap_or(&Json::Null);
                Some(&compare::normalise(op, given, out)?) == expected.get("out")
            }
            _ => false,
        };
        is_right
            .then_some(())
            .ok_or_else(|| format!("got {answer}\n  expected {expected:?}"))
    }
}

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn vectors(op: &str) -> Vec<Vector> {
    let path = folder().join("vectors").join(format!("{op}.jsonl"));
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("no vectors for {op}: {}: {error}", path.display()));
    text.lines()
        .map(|line| {
            let case = Json::parse(line).unwrap();
            let Some(Json::String(id)) = case.get("id") else {
                panic!("a vector without an id: {line}");
            };
            Vector {
                id: id.clone(),
                line: line.to_owned(),
                case,
            }
        })
        .collect()
}

/// Returns the vectors that must not be met, with the reasons.
fn deviations() -> BTreeMap<String, String> {
    let text = fs::read_to_string(folder().join("deviations.md")).unwrap();
    text.lines()
        .filter_map(|line| {
            let (id, rest) = line.strip_prefix("| `")?.split_once('`')?;
            let reason = rest.trim_matches(['|', ' ']);
            Some((id.to_owned(), reason.to_owned()))
        })
        .collect()
}

/// Compares the answers to an op's vectors, and the deviations with the differences.
fn compare(op: &str, vectors: &[Vector], answers: &[String]) {
    assert_eq!(answers.len(), vectors.len(), "answers to {op}");
    let deviations = deviations();
    let mut wrong = Vec::new();
    for (vector, answer) in vectors.iter().zip(answers) {
        match (vector.check(op, answer), deviations.get(&vector.id)) {
            (Ok(()), None) | (Err(_), Some(_)) => {}
            (Err(difference), None) => wrong.push(format!("{}: {difference}", vector.id)),
            (Ok(()), Some(_)) => wrong.push(format!("{}: no longer differs", vector.id)),
        }
    }
    assert!(wrong.is_empty(), "{op}:\n{}", wrong.join("\n"));
    println!("{op}: {} vectors", vectors.len());
}

#[test]
fn the_library_answers_as_the_other_toolkits_do() {
    for (op, _) in OPS {
        let vectors = vectors(op);
        assert!(!vectors.is_empty(), "no vectors for {op}");
        let answers: Vec<_> = vectors
            .iter()
            .map(|vector| {
                let answer = conformance::answer(vector.line.as_bytes());
                serde_json::to_string(&answer).unwrap()
            })
            .collect();
        compare(op, &vectors, &answers);
    }
}

#[test]
fn the_program_answers_as_the_other_toolkits_do() {
    for (op, _) in OPS {
        let vectors = vectors(op);
        let lines: Vec<_> = vectors.iter().map(|vector| vector.line.as_str()).collect();
        compare(op, &vectors, &ask(lines.join("\n").into_bytes()));
    }
}

#[test]
fn every_deviation_has_a_reason_and_a_vector() {
    let known: BTreeSet<_> = OPS
        .iter()
        .flat_map(|(op, _)| vectors(op))
        .map(|vector| vector.id)
        .collect();
    for (id, reason) in deviations() {
        assert!(known.contains(&id), "no vector {id}");
        assert!(!reason.is_empty(), "no reason for {id}");
    }
}

#[test]
fn the_program_answers_in_order_and_survives_garbage() {
    let cases = [
        r#"{"id":"1","op":"jmespath","in":{"data":{"a":9007199254740993},"expression":"a"}}"#,
        "garbage",
        r#"{"id":"2","op":"tea","in":{}}"#,
        "",
        r#"{"id":"3","op":"jmespath","in":{"data":1}}"#,
        "\u{feff}{}",
        r#"{"id":"4","op":"jmespath","in":{"data":{},"expression":"["}}"#,
        r#"{"id":"5","op":"correlation_id","in":{"kind":"EVENT_BRIDGE","event":{"id":1.50}}}"#,
        r#"{"id":"6","op":"correlation_id","in":{"kind":"EVENT_BRIDGE","event":[]}}"#,
    ];
    let mut input = cases.join("\n").into_bytes();
    input.extend_from_slice(b"\n\xff\xfe\n");
    assert_eq!(
        ask(input),
        [
            r#"{"id":"1","out":9007199254740993}"#,
            r#"{"id":null,"error":"InvalidCase"}"#,
            r#"{"id":"2","error":"UnknownOp"}"#,
            r#"{"id":"3","error":"InvalidCase"}"#,
            r#"{"id":null,"error":"InvalidCase"}"#,
            r#"{"id":"4","error":"InvalidExpression"}"#,
            r#"{"id":"5","out":1.50}"#,
            r#"{"id":"6","out":null}"#,
            r#"{"id":null,"error":"InvalidCase"}"#,
        ]
    );
}

/// Runs the program and returns the lines it answers.
fn ask(input: Vec<u8>) -> Vec<String> {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_conformance"));
    let mut process = Command::new(program)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = process.stdin.take().unwrap();
    let feed = thread::spawn(move || stdin.write_all(&input));
    let output = process.wait_with_output().unwrap();
    feed.join().unwrap().unwrap();
    assert!(output.status.success(), "{}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}
