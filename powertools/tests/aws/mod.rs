//! A service of AWS, in memory: the client of the SDK is the real one, and what is behind it answers
//! as it is told.
#![allow(dead_code, reason = "each test uses its part")]

use std::{
    error::Error,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_smithy_runtime_api::client::{
    http::{
        HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
    },
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
};
use serde_json::{Value, json};

/// One request, as the service got it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Such as `GetParameter`.
    pub(crate) operation: String,
    pub(crate) input: Value,
}

/// What the service does about a request.
pub(crate) enum Answer {
    Ok(Value),
    /// A code and a message.
    Refused(u16, &'static str, String),
    /// A body that is not what the API answers.
    Garbage(String),
    /// The connection breaks.
    Broken,
    /// The answer comes after a while.
    Late(Duration, Box<Answer>),
}

pub(crate) fn refused(code: &'static str, message: impl Into<String>) -> Answer {
    Answer::Refused(400, code, message.into())
}

type Answers = dyn Fn(usize, &Call) -> Answer + Send + Sync;

/// Answers by the number of the request, from 0, and what is in it. Its clones are the same service.
#[derive(Clone)]
pub(crate) struct Service {
    answers: Arc<Answers>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Service {
    pub(crate) fn new(answers: impl Fn(usize, &Call) -> Answer + Send + Sync + 'static) -> Self {
        Self {
            answers: Arc::new(answers),
            calls: Arc::default(),
        }
    }

    pub(crate) fn http_client(&self) -> SharedHttpClient {
        let connector = SharedHttpConnector::new(self.clone());
        http_client_fn(move |_, _| connector.clone())
    }

    /// Returns what this answers, as its first answer.
    pub(crate) fn answer(&self, call: &Call) -> Answer {
        (self.answers)(0, call)
    }

    /// What was asked for.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// The names of the operations that were asked for.
    pub(crate) fn operations(&self) -> Vec<String> {
        let calls = self.calls();
        calls.into_iter().map(|call| call.operation).collect()
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Service")
    }
}

impl HttpConnector for Service {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap();
        let (_, operation) = target.rsplit_once('.').unwrap();
        let call = Call {
            operation: operation.to_owned(),
            input: serde_json::from_slice(request.body().bytes().unwrap()).unwrap(),
        };
        let number = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(call.clone());
            calls.len() - 1
        };
        let answer = (self.answers)(number, &call);
        HttpConnectorFuture::new(async move {
            let mut answer = answer;
            while let Answer::Late(after, then) = answer {
                tokio::time::sleep(after).await;
                answer = *then;
            }
            respond(answer)
        })
    }
}

/// An error and all that is behind it, as the most talkative logger shows it.
pub(crate) fn everything(error: &dyn Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error} {error:?}"));
        source = error.source();
    }
    text
}

/// The actions that the policy in a module's docs allows.
pub(crate) fn actions_of_docs(docs: &str) -> Vec<String> {
    let lines = docs.lines().skip_while(|line| *line != "//! ```json");
    let lines = lines.skip(1).take_while(|line| *line != "//! ```");
    let policy: String = lines.map(|line| line.trim_start_matches("//!")).collect();
    let policy: Value = serde_json::from_str(&policy).unwrap();
    assert_eq!(policy["Version"], "2012-10-17");
    let statements = policy["Statement"].as_array().unwrap().iter();
    let actions = statements.flat_map(|statement| {
        assert_eq!(statement["Effect"], "Allow");
        assert!(!statement["Resource"].is_null());
        match &statement["Action"] {
            Value::String(action) => vec![action.clone()],
            actions => serde_json::from_value(actions.clone()).unwrap(),
        }
    });
    actions.collect()
}

fn respond(answer: Answer) -> Result<HttpResponse, ConnectorError> {
    let (status, body) = match answer {
        Answer::Ok(body) => (200, body.to_string()),
        Answer::Refused(status, code, message) => {
            let body = json!({"__type": format!("com.amazonaws#{code}"), "message": message});
            (status, body.to_string())
        }
        Answer::Garbage(body) => (200, body),
        Answer::Broken => return Err(ConnectorError::io("connection reset".into())),
        Answer::Late(..) => unreachable!("waited for"),
    };
    let mut response = HttpResponse::new(status.try_into().unwrap(), body.into());
    let headers = response.headers_mut();
    headers.insert("content-type", "application/x-amz-json-1.1");
    headers.insert("x-amzn-requestid", "4f8e1c2a");
    Ok(response)
}
