//! `cargo demo`: starts the local cloud, acts as its customer, and shows what the system did.
//!
//! Every step is verified; the exit code is 0 only if all were as they should be.

mod arguments;
mod checks;
mod customer;
mod poison;
mod screen;
mod telemetry;

use std::cell::Cell;
use std::process::ExitCode;

use local_cloud::{Cloud, Error, Event, HttpClient, Options, Progress, chain};
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::{Arguments, Parsed};
use crate::checks::Failure;
use crate::screen::Screen;

/// What a shell reports for a process that SIGINT or SIGTERM ended.
const INTERRUPTED: u8 = 130;
const TERMINATED: u8 = 143;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(Parsed::Run(arguments)) => arguments,
        Ok(Parsed::Help) => {
            print!("{}", arguments::HELP);
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("error: {message}\n\n{}", arguments::HELP);
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let screen = Screen::new();
    // Set when all is verified: from then on, Ctrl-C is the proper end.
    let verified = Cell::new(false);
    let code = runtime.block_on(async {
        tokio::select! {
            biased;
            code = interrupted() => {
                screen.note("stopping everything");
                if verified.get() { ExitCode::SUCCESS } else { ExitCode::from(code) }
            }
            code = run(arguments, &screen, &verified) => code,
        }
    });
    // A download or a build that still runs is killed when this process ends, so nobody waits for it.
    runtime.shutdown_background();
    code
}

/// Waits for Ctrl-C or SIGTERM.
async fn interrupted() -> u8 {
    let signals = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => INTERRUPTED,
        _ = terminate.recv() => TERMINATED,
    }
}

async fn run(arguments: Arguments, screen: &Screen, verified: &Cell<bool>) -> ExitCode {
    screen.title("Setting up the local cloud");
    let progress = {
        let screen = *screen;
        Progress::new(move |event| match event {
            Event::Started(step) => screen.began(step),
            Event::Detail(detail) => screen.note(detail),
            Event::Finished(step, time) => screen.done(step, time),
            _ => {}
        })
    };
    let mut cloud = match Cloud::start(Options::new().with_progress(progress)).await {
        Ok(cloud) => cloud,
        Err(error) => {
            screen.error(&chain(&error));
            return ExitCode::FAILURE;
        }
    };

    let code = match story(&cloud, screen).await {
        Ok(()) => {
            verified.set(true);
            screen.success("everything was as it should be");
            if arguments.keep {
                invite(&cloud, screen);
                // Or until Ctrl-C, which is handled in `main`.
                let what = cloud.broken().await;
                let log = cloud.emulator_log().display();
                screen.error(&format!(
                    "{what} ended by itself. The emulator's own output: {log}"
                ));
                return ExitCode::FAILURE;
            }
            ExitCode::SUCCESS
        }
        Err(failure) => {
            screen.error(&failure.to_string());
            screen.note(&format!(
                "the emulator's own output: {}",
                cloud.emulator_log().display()
            ));
            ExitCode::FAILURE
        }
    };
    cloud.stop().await;
    code
}

async fn story(cloud: &Cloud, screen: &Screen) -> Result<(), Failure> {
    let http = HttpClient::new();
    let order = customer::places_an_order(cloud, &http, screen).await?;
    telemetry::follows_the_order(cloud, &order, screen).await?;
    customer::makes_mistakes(cloud, &http, screen).await?;
    poison::fails_alone(cloud, &order, screen).await
}

/// Says how to go on by hand.
fn invite(cloud: &Cloud, screen: &Screen) {
    let api = cloud.api_url();
    screen.title("Try it yourself");
    screen.text(&format!(
        "curl -i {api}/orders -H 'content-type: application/json' -d '{}'\ncurl -i {api}/orders/ORDER_ID",
        customer::order()
    ));
    screen.text(&format!(
        "\nAny AWS client works after\nexport AWS_ENDPOINT_URL={} AWS_REGION={region} AWS_DEFAULT_REGION={region} AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test",
        cloud.endpoint(),
        region = local_cloud::stack::REGION,
    ));
    screen.text("aws logs filter-log-events --log-group-name /aws/lambda/orders --query 'events[].message' --output text\naws dynamodb scan --table-name projections");
    screen.note(&format!(
        "the emulator's own output: {}",
        cloud.emulator_log().display()
    ));
    screen.note("Ctrl-C stops everything");
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new("the local cloud answers", chain(&error))
    }
}
