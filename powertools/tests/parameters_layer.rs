//! The layer of declared parameters as a function's author sees it.
#![cfg(all(feature = "parameters", feature = "testing"))]

use std::{convert::Infallible, error::Error as _, future::ready, task::Poll, time::Duration};

use lambda_runtime::{Diagnostic, Error, LambdaEvent};
use powertools::{
    Invocation,
    parameters::{
        ParameterError, Parameters, ParametersError, ParametersLayer, ParametersService,
        ProviderErrorKind, Value, declared,
    },
    testing::{Clock, MemoryProvider, context},
};
use serde::Deserialize;
use tokio::task::yield_now;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_test::mock;

const SECOND: Duration = Duration::from_secs(1);
const URL: &str = "/shop/db-url";
const LIMITS: &str = "/shop/limits";

#[derive(Debug, Deserialize, PartialEq)]
struct Limits {
    items: u32,
}

/// What the tests have in common: a provider, a clock, and parameters that use both.
struct Shop {
    provider: MemoryProvider,
    clock: Clock,
    parameters: Parameters<MemoryProvider>,
}

fn shop() -> Shop {
    let provider = MemoryProvider::from([(URL, "postgres://db"), (LIMITS, r#"{"items":7}"#)]);
    let clock = Clock::new();
    let parameters = Parameters::new(provider.clone())
        .max_age(5 * SECOND)
        .with_clock(&clock);
    Shop {
        provider,
        clock,
        parameters,
    }
}

fn event(request_id: &str) -> LambdaEvent<()> {
    LambdaEvent::new((), context(request_id))
}

fn text(name: &str) -> Result<String, ParameterError> {
    declared(name)?.as_str().map(str::to_owned)
}

/// A handler that answers with the declared `url`.
async fn url(_: LambdaEvent<()>) -> Result<String, ParameterError> {
    text("url")
}

#[tokio::test]
async fn the_handler_has_what_the_layer_declares() {
    let Shop { parameters, .. } = shop();
    let layer = ParametersLayer::new()
        .require("url", parameters.get(URL))
        .require("limits", parameters.get(LIMITS).json::<Limits>());
    let handler = |_: LambdaEvent<()>| async {
        let limits = declared("limits")?.json::<Limits>()?;
        Ok::<_, Error>((text("url")?, limits.items))
    };
    let answer = layer.layer(service_fn(handler)).oneshot(event("1")).await;
    assert_eq!(answer.unwrap(), ("postgres://db".to_owned(), 7));
}

#[tokio::test]
async fn what_was_read_while_the_function_started_is_not_read_again() {
    let Shop {
        provider,
        clock,
        parameters,
    } = shop();
    let layer = ParametersLayer::new()
        .require("url", parameters.get(URL))
        .optional("banner", parameters.get("/shop/banner"));
    layer.warm().await.unwrap();
    assert_eq!(provider.calls_of(URL), 1);

    let service = ServiceBuilder::new().layer(layer).service_fn(url);
    for _ in 0..3 {
        service.clone().oneshot(event("1")).await.unwrap();
    }
    assert_eq!(provider.calls_of(URL), 1);
    clock.advance(6 * SECOND);
    service.oneshot(event("2")).await.unwrap();
    assert_eq!(provider.calls_of(URL), 2);
}

#[tokio::test]
async fn all_that_is_missing_is_fetched_at_once() {
    let Shop {
        provider,
        parameters,
        ..
    } = shop();
    provider.hold();
    let layer = ParametersLayer::new()
        .require("url", parameters.get(URL))
        .require("limits", parameters.get(LIMITS));
    let invocation = tokio::spawn(layer.layer(service_fn(url)).oneshot(event("1")));
    while provider.calls() < 2 {
        yield_now().await;
    }
    provider.release();
    assert_eq!(invocation.await.unwrap().unwrap(), "postgres://db");
}

#[tokio::test]
async fn without_a_required_parameter_the_handler_is_not_called() {
    let Shop {
        provider,
        parameters,
        ..
    } = shop();
    let layer = ParametersLayer::new()
        .require("url", parameters.get(URL))
        .require("key", parameters.get("/shop/key"));
    assert!(layer.warm().await.unwrap_err().is_not_found());

    let never = |_: LambdaEvent<()>| async {
        unreachable!("the handler was called");
        #[expect(unreachable_code, reason = "names the types")]
        Ok::<(), Infallible>(())
    };
    let service: ParametersService<_> = layer.layer(service_fn(never));
    let error = service.clone().oneshot(event("1")).await.unwrap_err();
    let source = error.source().expect("the parameter's error");
    assert_eq!(source.to_string(), "parameter `/shop/key` does not exist");

    provider.fail(ProviderErrorKind::AccessDenied);
    let error = service.oneshot(event("2")).await.unwrap_err();
    let diagnostic = Diagnostic::from(error);
    assert_eq!(
        (&*diagnostic.error_type, &*diagnostic.error_message),
        (
            "powertools::parameters::ParametersError",
            "access to parameter `/shop/key` is denied"
        )
    );

    // The next invocation tries again.
    provider.recover();
    provider.set("/shop/key", "k");
    let service = layer.layer(service_fn(url));
    assert_eq!(service.oneshot(event("3")).await.unwrap(), "postgres://db");
}

#[tokio::test]
async fn a_value_of_another_type_counts_as_missing() {
    let Shop {
        provider,
        parameters,
        ..
    } = shop();
    provider.set(LIMITS, r#"{"items":"hunter2"}"#);
    let layer = ParametersLayer::new().require("limits", parameters.get(LIMITS).json::<Limits>());
    let handler = |event| async { Ok::<_, Error>(url(event).await?) };
    let error = layer.layer(service_fn(handler)).oneshot(event("1")).await;
    let error = error.unwrap_err();
    let ParametersError::Parameter(ParameterError::Transform { name, .. }) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(&**name, LIMITS);
    // Neither the error nor what Lambda shows of it holds the value.
    let shown = format!("{error:?} {error}");
    let diagnostic = Diagnostic::from(error);
    assert!(!format!("{shown} {}", diagnostic.error_message).contains("hunter2"));
    assert!(diagnostic.error_message.contains(LIMITS));
}

#[tokio::test]
async fn an_optional_parameter_may_be_missing_or_broken() {
    let Shop {
        provider,
        parameters,
        ..
    } = shop();
    provider.set("/shop/rates", "{");
    let layer = ParametersLayer::new()
        .optional("banner", parameters.get("/shop/banner"))
        .optional("rates", parameters.get("/shop/rates").json::<Limits>())
        .require("url", parameters.get(URL));
    layer.warm().await.unwrap();
    let handler = |_: LambdaEvent<()>| {
        assert!(declared("banner").unwrap_err().is_not_found());
        let rates = declared("rates").unwrap_err();
        assert!(matches!(rates, ParameterError::Transform { .. }), "{rates}");
        ready(text("url"))
    };
    let answer = layer.layer(service_fn(handler)).oneshot(event("1")).await;
    assert_eq!(answer.unwrap(), "postgres://db");
}

#[tokio::test]
async fn a_provider_that_fails_leaves_what_is_stale() {
    let Shop {
        provider,
        clock,
        parameters,
    } = shop();
    let parameters = parameters.stale_if_error(60 * SECOND);
    let layer = ParametersLayer::new().require("url", parameters.get(URL));
    layer.warm().await.unwrap();
    provider.fail(ProviderErrorKind::Throttled);
    let service = layer.layer(service_fn(url));
    clock.advance(30 * SECOND);
    assert_eq!(
        service.clone().oneshot(event("1")).await.unwrap(),
        "postgres://db"
    );
    clock.advance(40 * SECOND);
    let error = service.oneshot(event("2")).await.unwrap_err();
    assert!(
        matches!(
            error,
            ParametersError::Parameter(ParameterError::Throttled { .. })
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_slow_provider_delays_no_invocation_that_is_refreshed_in_the_background() {
    let Shop {
        provider,
        clock,
        parameters,
    } = shop();
    let parameters = parameters.refresh_in_background(60 * SECOND);
    let layer = ParametersLayer::new().require("url", parameters.get(URL));
    layer.warm().await.unwrap();
    provider.hold();
    clock.advance(10 * SECOND);
    let service = layer.layer(service_fn(url));
    let mut first = tokio_test::task::spawn(service.clone().oneshot(event("1")));
    assert!(matches!(first.poll(), Poll::Ready(Ok(url)) if url == "postgres://db"));

    provider.set(URL, "postgres://new");
    provider.release();
    while service.clone().oneshot(event("2")).await.unwrap() != "postgres://new" {
        yield_now().await;
    }
    assert_eq!(provider.calls_of(URL), 2);
}

#[tokio::test]
async fn a_slow_provider_delays_no_invocation_that_knows_of_a_missing_parameter() {
    let Shop {
        provider,
        clock,
        parameters,
    } = shop();
    let parameters = parameters
        .cache_not_found(5 * SECOND)
        .refresh_in_background(60 * SECOND);
    let layer = ParametersLayer::new()
        .require("url", parameters.get(URL))
        .optional("banner", parameters.get("/shop/banner"));
    layer.warm().await.unwrap();
    provider.hold();
    let banner = |_: LambdaEvent<()>| {
        let banner = text("banner");
        ready(Ok::<_, Infallible>(banner.unwrap_or_default()))
    };
    let service = layer.layer(service_fn(banner));
    for _ in 0..2 {
        let mut invocation = tokio_test::task::spawn(service.clone().oneshot(event("1")));
        assert!(matches!(invocation.poll(), Poll::Ready(Ok(banner)) if banner.is_empty()));
        clock.advance(10 * SECOND);
    }

    provider.set("/shop/banner", "sale!");
    provider.release();
    while service.clone().oneshot(event("2")).await.unwrap() != "sale!" {
        yield_now().await;
    }
}

#[tokio::test]
async fn a_max_age_of_zero_has_each_invocation_wait_for_a_fetch() {
    let Shop {
        provider,
        parameters,
        ..
    } = shop();
    let layer = ParametersLayer::new().require("url", parameters.get(URL).max_age(Duration::ZERO));
    parameters.get(URL).await.unwrap();
    let service = layer.layer(service_fn(url));
    for (calls, new) in [(2, "postgres://2"), (3, "postgres://3")] {
        provider.set(URL, new);
        assert_eq!(service.clone().oneshot(event("1")).await.unwrap(), new);
        assert_eq!(provider.calls(), calls);
    }
}

#[cfg(feature = "metrics")]
#[tokio::test]
async fn what_is_kept_counts_once_where_something_else_is_waited_for() {
    use powertools::{
        env,
        metrics::MetricsLayer,
        testing::{CapturedMetrics, capture_metrics},
    };

    let Shop { parameters, .. } = shop();
    let parameters = parameters.metrics(true);
    parameters.get(URL).await.unwrap();
    let env = powertools::Env::from([(env::METRICS_NAMESPACE, "Shop")]);
    let (captured, metrics) = capture_metrics(MetricsLayer::from_env(&env));
    let service = ServiceBuilder::new()
        .layer(metrics)
        .layer(
            ParametersLayer::new()
                .require("url", parameters.get(URL))
                .require("limits", parameters.get(LIMITS)),
        )
        .service_fn(url);
    let counts = |captured: &CapturedMetrics| {
        ["ParameterCacheHits", "ParameterCacheMisses"].map(|name| captured.count(name))
    };
    service.clone().oneshot(event("1")).await.unwrap();
    assert_eq!(counts(&captured), [1, 1]);
    service.oneshot(event("2")).await.unwrap();
    assert_eq!(counts(&captured), [3, 1]);
}

#[tokio::test]
async fn an_invocation_keeps_the_values_that_it_began_with() {
    let Shop {
        provider,
        clock,
        parameters,
    } = shop();
    let layer = ParametersLayer::new().require("url", parameters.get(URL));
    let service = layer.layer(service_fn(move |_: LambdaEvent<()>| {
        let (provider, clock, parameters) = (provider.clone(), clock.clone(), parameters.clone());
        async move {
            let before = text("url")?;
            provider.set(URL, "postgres://new");
            clock.advance(60 * SECOND);
            assert_eq!(parameters.get(URL).await?.as_str()?, "postgres://new");
            assert_eq!(text("url")?, before);
            Ok::<_, ParameterError>(before)
        }
    }));
    assert_eq!(
        service.clone().oneshot(event("1")).await.unwrap(),
        "postgres://db"
    );
    assert_eq!(service.oneshot(event("2")).await.unwrap(), "postgres://new");
}

#[tokio::test]
async fn a_layer_inside_adds_to_what_the_layer_outside_declares() {
    let Shop { parameters, .. } = shop();
    let service = ServiceBuilder::new()
        .layer(ParametersLayer::new().require("url", parameters.get(URL)))
        .layer(ParametersLayer::new().require("limits", parameters.get(LIMITS)))
        .service_fn(|_: LambdaEvent<()>| {
            let both = text("url").and_then(|url| Ok(url + &text("limits")?));
            ready(both)
        });
    let answer = service.oneshot(event("1")).await.unwrap();
    assert_eq!(answer, r#"postgres://db{"items":7}"#);
}

#[tokio::test]
async fn a_spawned_task_takes_the_values_along_with_the_invocation() {
    let Shop { parameters, .. } = shop();
    let layer = ParametersLayer::new().require("url", parameters.get(URL));
    let handler = |_: LambdaEvent<()>| async {
        let invocation = Invocation::current().unwrap();
        let with = tokio::spawn(invocation.scope(async { text("url") }));
        let without = tokio::spawn(async { text("url") });
        let without = without.await.unwrap().unwrap_err();
        assert!(matches!(without, ParameterError::NotDeclared { .. }));
        with.await.unwrap()
    };
    let answer = layer.layer(service_fn(handler)).oneshot(event("1")).await;
    assert_eq!(answer.unwrap(), "postgres://db");
}

#[tokio::test]
async fn a_name_that_nobody_declares_is_an_error_that_says_so() {
    let Shop { parameters, .. } = shop();
    let layer = ParametersLayer::new().require("url", parameters.get(URL));
    let handler = |_: LambdaEvent<()>| ready(text("ulr"));
    let error = layer.layer(service_fn(handler)).oneshot(event("1")).await;
    let ParametersError::Handler(error) = error.unwrap_err() else {
        panic!("not the handler's error");
    };
    assert_eq!(
        error.to_string(),
        "no layer around declares a parameter `ulr`"
    );
    assert!(text("url").is_err(), "outside of an invocation");
}

#[tokio::test]
async fn the_handlers_error_passes_through() {
    let Shop { parameters, .. } = shop();
    let layer = ParametersLayer::new().require("url", parameters.get(URL));
    let handler = |_: LambdaEvent<()>| {
        let diagnostic = Diagnostic {
            error_type: "OutOfStock".to_owned(),
            error_message: "no pears".to_owned(),
        };
        ready(Err::<(), _>(diagnostic))
    };
    let error = layer.layer(service_fn(handler)).oneshot(event("1")).await;
    let diagnostic = Diagnostic::from(error.unwrap_err());
    assert_eq!(diagnostic.error_type, "OutOfStock");
    assert_eq!(diagnostic.error_message, "no pears");
}

#[tokio::test]
async fn a_cancelled_invocation_leaves_the_next_one_its_values() {
    let Shop {
        provider,
        parameters,
        ..
    } = shop();
    provider.hold();
    let layer = ParametersLayer::new().require("url", parameters.get(URL));
    let service = layer.layer(service_fn(url));
    let mut cancelled = tokio_test::task::spawn(service.clone().oneshot(event("1")));
    assert!(cancelled.poll().is_pending());
    drop(cancelled);
    provider.release();
    assert_eq!(service.oneshot(event("2")).await.unwrap(), "postgres://db");
}

#[tokio::test]
async fn a_panic_of_the_provider_fails_its_invocation_only() {
    let Shop {
        provider,
        parameters,
        ..
    } = shop();
    provider.panic();
    let layer = ParametersLayer::new().require("url", parameters.get(URL));
    let service = layer.layer(service_fn(url));
    let error = service.clone().oneshot(event("1")).await.unwrap_err();
    assert!(
        matches!(
            error,
            ParametersError::Parameter(ParameterError::Panicked { .. })
        ),
        "{error:?}"
    );
    provider.recover();
    assert_eq!(service.oneshot(event("2")).await.unwrap(), "postgres://db");
}

#[tokio::test]
async fn thousands_of_cold_invocations_at_once_make_one_call() {
    let Shop {
        provider,
        parameters,
        ..
    } = shop();
    provider.hold();
    let layer = ParametersLayer::new().require("url", parameters.get(URL));
    let service = layer.layer(service_fn(url));
    let invocations: Vec<_> = (0..2000)
        .map(|number| tokio::spawn(service.clone().oneshot(event(&number.to_string()))))
        .collect();
    yield_now().await;
    provider.release();
    for invocation in invocations {
        assert_eq!(invocation.await.unwrap().unwrap(), "postgres://db");
    }
    assert_eq!(provider.calls(), 1);
}

#[tokio::test]
async fn the_service_that_was_ready_is_the_one_that_is_called() {
    let Shop {
        provider,
        parameters,
        ..
    } = shop();
    provider.hold();
    let layer = ParametersLayer::new().require("url", parameters.get(URL));
    let (mut service, mut handle) = mock::spawn_layer::<LambdaEvent<()>, String, _>(layer);
    handle.allow(0);
    assert!(service.poll_ready().is_pending());
    handle.allow(1);
    tokio_test::assert_ready_ok!(service.poll_ready());
    let mut answer = tokio_test::task::spawn(service.call(event("1")));
    assert!(answer.poll().is_pending());

    // The request goes out without a clone that would have to become ready first.
    handle.allow(0);
    provider.release();
    assert!(answer.poll().is_pending());
    let (_, respond) = handle.next_request().await.unwrap();
    respond.send_response("done".to_owned());
    assert_eq!(answer.await.unwrap(), "done");
}

#[test]
#[should_panic(expected = "the parameter `url` is declared twice")]
fn a_name_is_declared_once() {
    let Shop { parameters, .. } = shop();
    let _ = ParametersLayer::new()
        .require("url", parameters.get(URL))
        .optional("url", parameters.get(LIMITS));
}

#[tokio::test]
async fn nothing_shows_a_value() {
    let Shop {
        provider,
        parameters,
        ..
    } = shop();
    provider.set(URL, "hunter2");
    let layer = ParametersLayer::new().require("url", parameters.get(URL));
    layer.warm().await.unwrap();
    let service = layer.layer(service_fn(|_: LambdaEvent<()>| {
        let value: Value = declared("url").unwrap();
        let invocation = Invocation::current().unwrap();
        ready(Ok::<_, Infallible>(format!("{value:?} {invocation:?}")))
    }));
    let shown = format!(
        "{layer:?} {service:?} {:?}",
        service.clone().call(event("1"))
    );
    let inside = service.oneshot(event("1")).await.unwrap();
    assert!(shown.contains(URL), "{shown}");
    assert!(
        !format!("{shown} {inside}").contains("hunter2"),
        "{shown} {inside}"
    );
}

#[test]
fn a_layer_and_its_service_are_shared_between_threads() {
    fn assert_bounds<T: Clone + Send + Sync + 'static>(_: &T) {}
    let Shop { parameters, .. } = shop();
    let layer = ParametersLayer::new().require("url", parameters.get(URL));
    assert_bounds(&layer);
    assert_bounds(&layer.layer(service_fn(url)));
}
