//! What every HTTP function shares: problem details, JSON bodies, and the frame around its routes.
//!
//! # Errors
//!
//! Every error is a problem detail (RFC 9457, `application/problem+json`):
//!
//! ```json
//! {"type":"tag:reference-stack.example,2026:invalid-body","title":"The body has wrong fields","status":422,"detail":"2 fields are wrong.","instance":"urn:uuid:…","errors":[{"pointer":"#/items/0/quantity","detail":"must be between 1 and 1000"}]}
//! ```
//!
//! | status | `type` | when |
//! |---|---|---|
//! | 400 | `…:malformed-json` | the body is not JSON |
//! | 400 | `…:malformed-id` | the id in the path has the wrong form |
//! | 404 | `…:unknown-order` | there is no such order |
//! | 404, 405 | `about:blank` | no such route; not with this method (`Allow` says which) |
//! | 409 | `…:conflict` | somebody else changed it first |
//! | 413, 415 | `about:blank` | the body is too large, or not declared as `application/json` |
//! | 422 | `…:invalid-body` | the body is JSON, but a field is missing, unknown, of another type or out of its range |
//! | 503 | `about:blank` | a store is throttled or cannot be reached (`Retry-After` says when to read again; after a write whose outcome is not known, `detail` says so instead) |
//! | 500 | `about:blank` | anything else |
//!
//! `…` is `tag:reference-stack.example,2026`: such a URI names a kind of problem and leads nowhere.
//! `errors` lists all fields that are missing or out of range; an unknown field or one of another
//! type comes alone, since reading stops there. `instance` names the request by its correlation id.
//! Why a server error happened is in the log only.
//!
//! Every problem leaves one line in the log, `WARN` for a client's and `ERROR` for ours, with
//! method, path, status, type and the first pointers, but nothing that the client wrote elsewhere.
//!
//! A panic is not turned into a problem: it fails the invocation, so that Lambda counts it, and API
//! Gateway answers 502. What API Gateway refuses or answers itself is no problem detail either.

mod app;
mod json;
pub mod kind;
mod problem;

pub use app::{MAX_BODY_BYTES, app};
pub use json::{Integer, JsonBody, Object};
pub use problem::Problem;
