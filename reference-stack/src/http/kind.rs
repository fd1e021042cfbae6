use http::StatusCode;

/// A kind of problem that says more than its status does.
#[derive(Debug)]
pub struct Kind {
    pub(super) status: StatusCode,
    pub(super) uri: &'static str,
    pub(super) title: &'static str,
}

/// The body is not JSON.
pub static MALFORMED_JSON: Kind = Kind {
    status: StatusCode::BAD_REQUEST,
    uri: "tag:reference-stack.example,2026:malformed-json",
    title: "The body is not JSON",
};

/// The body is JSON, but not the JSON that was expected.
pub static INVALID_BODY: Kind = Kind {
    status: StatusCode::UNPROCESSABLE_ENTITY,
    uri: "tag:reference-stack.example,2026:invalid-body",
    title: "The body has wrong fields",
};

/// The path holds an id that no id can look like.
pub static MALFORMED_ID: Kind = Kind {
    status: StatusCode::BAD_REQUEST,
    uri: "tag:reference-stack.example,2026:malformed-id",
    title: "The id in the path has the wrong form",
};

/// There is no order of that id.
pub static UNKNOWN_ORDER: Kind = Kind {
    status: StatusCode::NOT_FOUND,
    uri: "tag:reference-stack.example,2026:unknown-order",
    title: "There is no such order",
};

/// Two requests changed the same thing, and the other one was first.
pub static CONFLICT: Kind = Kind {
    status: StatusCode::CONFLICT,
    uri: "tag:reference-stack.example,2026:conflict",
    title: "Somebody else changed it first",
};
