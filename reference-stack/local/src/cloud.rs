use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use aws_sdk_lambda::primitives::Blob;
use serde_json::Value;

use crate::clients::Clients;
use crate::deploy::{deploy, start_mappings};
use crate::emulator::Emulator;
use crate::error::Error;
use crate::functions::Workspace;
use crate::logs::{self, LogLine};
use crate::mapping::Running;
use crate::progress::Progress;
use crate::python::Search;
use crate::stack::{STACK, STAGE};
use crate::venv::Venv;
use crate::xray::XRayDaemon;

/// How long invocations under way may take when a cloud is stopped.
const GRACE: Duration = Duration::from_secs(3);

/// How often it is looked whether everything still runs.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);

/// How to start a [`Cloud`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Options {
    progress: Progress,
}

impl Options {
    /// The default: nobody hears of the progress.
    pub fn new() -> Self {
        Self::default()
    }

    /// Who hears of the steps of the set-up.
    pub fn with_progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }
}

/// The reference stack, running on this machine.
///
/// Everything that was started ends when this is dropped, or when the process ends in whatever way.
#[derive(Debug)]
pub struct Cloud {
    // Dropped in this order: who sends goes before who receives.
    mappings: BTreeMap<&'static str, Running>,
    emulator: Emulator,
    xray: XRayDaemon,
    clients: Clients,
    api_id: String,
}

/// What a function answered.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Invoked {
    /// What it returned, or its error's type and message.
    pub payload: Value,
    /// Set if it failed: `Handled` or `Unhandled`.
    pub function_error: Option<String>,
}

impl Cloud {
    /// Installs what is missing, builds the functions, starts the emulator and deploys the stack.
    ///
    /// # Errors
    /// Says what is missing on this machine, or which step failed and where to look.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let progress = options.progress;
        let (workspace, venv, binaries) = {
            let progress = progress.clone();
            // A dropped future does not end this; the end of the process does.
            tokio::task::spawn_blocking(move || -> Result<_, Error> {
                let step = progress.start("install the emulator");
                let workspace = Workspace::locate()?;
                let venv = Venv::prepare(&workspace.folder(), &Search::process(), &progress)?;
                step.finish();
                let step = progress.start("build the functions");
                let binaries = workspace.build(venv.supervisor())?;
                step.finish();
                Ok((workspace, venv, binaries))
            })
            .await
            .map_err(Error::aws("set up the local cloud"))??
        };

        let step = progress.start("start the emulator");
        let xray = XRayDaemon::bind()
            .await
            .map_err(Error::io("open a UDP port of", "127.0.0.1"))?;
        let emulator = Emulator::start(&venv, &workspace.folder(), xray.address()).await?;
        let clients = Clients::new(emulator.endpoint());
        step.finish();

        let step = progress.start("deploy the stack");
        let packages = workspace.folder().join("packages");
        let api_id = deploy(&STACK, &clients, &binaries, &packages, &progress).await?;
        let mappings = start_mappings(&STACK, &clients).await?;
        step.finish();
        Ok(Self {
            mappings,
            emulator,
            xray,
            clients,
            api_id,
        })
    }

    /// Where the REST API answers, without a slash at the end.
    pub fn api_url(&self) -> String {
        format!(
            "{}/_aws/execute-api/{}/{STAGE}",
            self.endpoint(),
            self.api_id
        )
    }

    /// Where the emulator answers, as `AWS_ENDPOINT_URL` wants it.
    pub fn endpoint(&self) -> &str {
        self.emulator.endpoint()
    }

    /// The AWS SDK's clients.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// The X-Ray daemon with what it received.
    pub fn xray(&self) -> &XRayDaemon {
        &self.xray
    }

    /// The file with the emulator's own output.
    pub fn emulator_log(&self) -> &Path {
        self.emulator.log()
    }

    /// The process that everything else of this cloud descends from.
    pub fn process_id(&self) -> u32 {
        self.emulator.id()
    }

    /// What a function has logged so far.
    ///
    /// # Errors
    /// The emulator does not answer.
    pub async fn logs(&self, function: &str) -> Result<Vec<LogLine>, Error> {
        logs::read(&self.clients, function).await
    }

    /// Invokes a function and waits for its answer.
    ///
    /// # Errors
    /// There was none; a function that fails is an answer.
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<Invoked, Error> {
        let action = format!("invoke the function `{function}`");
        let payload = Blob::new(event.to_string());
        let request = self
            .clients
            .lambda
            .invoke()
            .function_name(function)
            .payload(payload);
        let answer = request.send().await.map_err(Error::aws(action.as_str()))?;
        let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
        let payload = if payload.is_empty() {
            Ok(Value::Null)
        } else {
            serde_json::from_slice(&payload)
        };
        Ok(Invoked {
            payload: payload.map_err(Error::aws(action))?,
            function_error: answer.function_error,
        })
    }

    /// The event source mapping that feeds a function, if one does.
    pub fn mapping(&self, function: &str) -> Option<&Running> {
        self.mappings.get(function)
    }

    /// Waits until something without which the cloud is none has ended by itself; answers what.
    pub async fn broken(&mut self) -> String {
        loop {
            if self.emulator.has_ended() {
                return "the emulator".to_owned();
            }
            let ended = self
                .mappings
                .iter()
                .find(|(_, running)| running.has_ended());
            if let Some((function, _)) = ended {
                return format!("the event source mapping of `{function}`");
            }
            tokio::time::sleep(WATCH_INTERVAL).await;
        }
    }

    /// Ends everything and waits until it is gone. Dropping does the same, but blocks meanwhile.
    pub async fn stop(self) {
        let Self {
            mappings,
            mut emulator,
            ..
        } = self;
        for mapping in mappings.into_values() {
            // Invocations under way may end, if they do so soon.
            let _ = tokio::time::timeout(GRACE, mapping.stop()).await;
        }
        // Fails only when the runtime shuts down, and then the drop that follows does it.
        let _ = tokio::task::spawn_blocking(move || emulator.stop()).await;
    }
}
