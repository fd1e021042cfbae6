use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware::{Next, from_fn},
    response::Response,
};
use http::StatusCode;

use super::{Problem, problem::Reported};

/// The largest body of a request, in bytes: several times the largest order.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// Puts the frame around a function's routes: the limit on bodies, problem details where no route
/// fits, and a line in the log for every problem.
pub fn app(routes: Router) -> Router {
    routes
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn(log_problem))
}

async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND).detail("There is nothing here.")
}

async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED)
        .detail("The method is none of those that `Allow` lists.")
}

async fn log_problem(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let uri = request.uri().clone();
    let mut response = next.run(request).await;
    if let Some(Reported(problem)) = response.extensions_mut().remove::<Reported>() {
        problem.log(&method, uri.path());
    }
    response
}
