use std::{io, net::SocketAddr, path::Path, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};

use crate::RuntimeApi;

/// A function's process. Dropping it kills the process.
#[derive(Debug)]
pub struct Function {
    process: Child,
    output: JoinHandle<io::Result<Vec<String>>>,
}

impl Function {
    /// Starts a function with the environment Lambda would give it, and `variables` on top.
    ///
    /// # Errors
    ///
    /// Returns an error if the program cannot be started.
    pub fn start<'a>(
        program: impl AsRef<Path>,
        api: &RuntimeApi,
        xray_daemon: SocketAddr,
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> io::Result<Self> {
        let mut process = Command::new(program.as_ref())
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", api.address().to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "my-function")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_XRAY_DAEMON_ADDRESS", xray_daemon.to_string())
            .envs(variables)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process.stdout.take().expect("standard output is piped");
        let output = tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            let mut output = Vec::new();
            while let Some(line) = lines.next_line().await? {
                output.push(line);
            }
            Ok(output)
        });
        Ok(Self { process, output })
    }

    /// Ends the process and returns what it wrote to its standard output, line by line.
    ///
    /// # Errors
    ///
    /// Returns an error if the process cannot be ended or its output cannot be read.
    ///
    /// # Panics
    ///
    /// Panics if a line is not JSON: every line of these functions is a log line or an EMF object.
    pub async fn stop(mut self) -> io::Result<Output> {
        self.process.kill().await?;
        let lines = self.output.await.map_err(io::Error::other)??;
        let (metrics, logs) = lines
            .iter()
            .map(|line| {
                serde_json::from_str::<Value>(line)
                    .unwrap_or_else(|error| panic!("not JSON ({error}): {line}"))
            })
            .partition(|line| line.get("_aws").is_some());
        Ok(Output { logs, metrics })
    }
}

/// What a function wrote.
#[derive(Debug)]
pub struct Output {
    /// The log lines.
    pub logs: Vec<Value>,
    /// The EMF objects.
    pub metrics: Vec<Value>,
}
