use std::{fmt, str::FromStr};

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};

use super::{TraceHeaderError, span};
use crate::Invocation;

/// The version of X-Ray's trace ids.
/// Source: <https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html>
const VERSION: &str = "1";

/// The most bytes of a `Lineage` that is passed on: with it a header has at most the 256 that Step
/// Functions takes. Lambda's own has no more than 18 today.
/// Source: <https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html>
const LINEAGE_LENGTH: usize = 256
    - "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=".len();

/// Where spans keep the `Lineage`: in the trace state, as the spans inside inherit that. It is the
/// key of OpenTelemetry's own propagator for X-Ray.
const LINEAGE_STATE: &str = "lineage";

/// X-Ray's trace header: which trace a request belongs to, which span caused it, and whether the
/// trace is kept.
///
/// It is what Lambda hands to every invocation, what goes along with a message so that its
/// consumer can [continue the trace](super::SpanExt::continue_trace), and what the header
/// `X-Amzn-Trace-Id` of an HTTP request holds.
///
/// Parts come in any order. Only a `Sampled` of `1` or `0` is a decision: `?`, anything else and a
/// missing one leave it open, which counts as not sampled and is written as no `Sampled`. `Lineage`
/// is passed on as it is: Lambda counts in it how often functions have called each other, and stops
/// a [loop] by it. All other parts (`Self`) are passed over and not written again.
///
/// [loop]: https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
///
/// Source: <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>
///
/// # Examples
///
/// ```
/// use powertools::trace::TraceHeader;
///
/// let header: TraceHeader =
///     "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1".parse()?;
/// assert_eq!(header.root(), "1-5759e988-bd862e3fe1be46a994272793");
/// assert_eq!(header.parent().as_deref(), Some("53995c3f42cd8ad8"));
/// assert_eq!(header.sampled(), Some(true));
/// # Ok::<_, powertools::trace::TraceHeaderError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TraceHeader {
    root: TraceId,
    /// Never the invalid id.
    parent: Option<SpanId>,
    sampled: Option<bool>,
    lineage: Option<Box<str>>,
}

impl TraceHeader {
    /// Returns the header that carries the trace on: its parent is the span the code runs in.
    ///
    /// Where no span is recorded, because the trace is not sampled or this function's tracing is
    /// disabled, it is the invocation's own header, without the parts that are passed over. `None`
    /// outside of an invocation and in one that came without a header.
    ///
    /// The `Lineage` is the invocation's, also in a span that
    /// [continues](super::SpanExt::continue_trace) another trace: it is this invocation's calls that
    /// Lambda counts.
    #[must_use]
    pub fn current() -> Option<Self> {
        span::current()
            .and_then(|context| Self::from_span_context(context.span().span_context()))
            .or_else(|| Self::from_context(Invocation::current()?.context()))
    }

    /// Returns the trace's id, `1-<8 hex digits>-<24 hex digits>`.
    #[must_use]
    pub fn root(&self) -> String {
        Root(self.root).to_string()
    }

    /// Returns the id of the span that caused the request, 16 hex digits.
    #[must_use]
    pub fn parent(&self) -> Option<String> {
        self.parent.map(|parent| parent.to_string())
    }

    /// Returns whether the trace is kept, or `None` if that is still open.
    #[must_use]
    pub fn sampled(&self) -> Option<bool> {
        self.sampled
    }

    /// Returns the header of an invocation; a malformed one counts as none.
    pub(super) fn from_context(context: &lambda_runtime::Context) -> Option<Self> {
        context.xray_trace_id.as_deref()?.parse().ok()
    }

    /// Returns the header of an invocation that is traced. Most are not, and cost no more than a look
    /// at each part's name.
    pub(super) fn of_sampled(context: &lambda_runtime::Context) -> Option<Self> {
        let header = context.xray_trace_id.as_deref()?;
        let mut parts = header.as_bytes().split(|&byte| byte == b';');
        let may_be_sampled = parts.any(|part| {
            let value = part.trim_ascii_start().strip_prefix(b"Sampled");
            value.is_some_and(|value| value.contains(&b'1'))
        });
        if !may_be_sampled {
            return None;
        }
        let header: Self = header.parse().ok()?;
        (header.sampled == Some(true)).then_some(header)
    }

    fn from_span_context(context: &SpanContext) -> Option<Self> {
        context.is_valid().then(|| Self {
            root: context.trace_id(),
            parent: Some(context.span_id()),
            sampled: Some(context.is_sampled()),
            lineage: context.trace_state().get(LINEAGE_STATE).map(Into::into),
        })
    }

    pub(super) fn trace_id(&self) -> TraceId {
        self.root
    }

    pub(super) fn parent_id(&self) -> Option<SpanId> {
        self.parent
    }

    /// Returns the span that the header names, if it names one.
    pub(super) fn span_context(&self) -> Option<SpanContext> {
        self.span_context_within(self)
    }

    /// Returns the span that the header names, for spans of the invocation that came with another
    /// header: they have that one's lineage, if it has any.
    pub(super) fn span_context_within(&self, invocation: &Self) -> Option<SpanContext> {
        let flags = TraceFlags::default().with_sampled(self.sampled == Some(true));
        let lineage = invocation.lineage.as_deref().or(self.lineage.as_deref());
        let state = lineage.and_then(|it| TraceState::from_key_value([(LINEAGE_STATE, it)]).ok());
        Some(SpanContext::new(
            self.root,
            self.parent?,
            flags,
            true,
            state.unwrap_or_default(),
        ))
    }
}

impl FromStr for TraceHeader {
    type Err = TraceHeaderError;

    fn from_str(header: &str) -> Result<Self, Self::Err> {
        let mut root = None;
        let mut parent = None;
        let mut sampled = None;
        let mut lineage = None;
        for part in header.split(';') {
            let Some((key, value)) = part.split_once('=') else {
                continue;
            };
            let value = value.trim();
            match key.trim() {
                "Root" => root = Some(parse_root(value).ok_or(TraceHeaderError::InvalidRoot)?),
                "Parent" => {
                    let id = parse_hex::<16>(value).and_then(|hex| SpanId::from_hex(hex).ok());
                    parent = Some(
                        id.filter(|&id| id != SpanId::INVALID)
                            .ok_or(TraceHeaderError::InvalidParent)?,
                    );
                }
                "Sampled" => {
                    sampled = match value {
                        "1" => Some(true),
                        "0" => Some(false),
                        _ => None,
                    }
                }
                "Lineage" => lineage = is_lineage(value).then(|| value.into()),
                _ => {}
            }
        }
        Ok(Self {
            root: root.ok_or(TraceHeaderError::MissingRoot)?,
            parent,
            sampled,
            lineage,
        })
    }
}

/// Returns whether a `Lineage` is passed on: in whatever form, as long as it fits into any header.
fn is_lineage(value: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b",=".contains(&byte);
    (1..=LINEAGE_LENGTH).contains(&value.len()) && value.bytes().all(is_allowed)
}

fn parse_root(root: &str) -> Option<TraceId> {
    let (time, unique) = root
        .strip_prefix(VERSION)?
        .strip_prefix('-')?
        .split_once('-')?;
    let time = u128::from_str_radix(parse_hex::<8>(time)?, 16).ok()?;
    let unique = u128::from_str_radix(parse_hex::<24>(unique)?, 16).ok()?;
    let id = TraceId::from(time << 96 | unique);
    (id != TraceId::INVALID).then_some(id)
}

fn parse_hex<const DIGITS: usize>(text: &str) -> Option<&str> {
    (text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(text)
}

impl fmt::Display for TraceHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root={}", Root(self.root))?;
        if let Some(parent) = self.parent {
            write!(f, ";Parent={parent}")?;
        }
        if let Some(sampled) = self.sampled {
            write!(f, ";Sampled={}", u8::from(sampled))?;
        }
        if let Some(lineage) = &self.lineage {
            write!(f, ";Lineage={lineage}")?;
        }
        Ok(())
    }
}

/// A trace id as X-Ray writes it.
#[derive(Clone, Copy)]
pub(super) struct Root(pub(super) TraceId);

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u128::from_be_bytes(self.0.to_bytes());
        let (time, unique) = (id >> 96, id & (u128::MAX >> 32));
        write!(f, "{VERSION}-{time:08x}-{unique:024x}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOT: &str = "1-5759e988-bd862e3fe1be46a994272793";

    fn parse(header: &str) -> Result<TraceHeader, TraceHeaderError> {
        header.parse()
    }

    #[test]
    fn a_header_is_written_as_it_was_read() {
        for header in [
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1;Lineage=25:a87bd80c:1",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=a87bd80c:1|68fd508a:5",
            "Root=1-00000000-000000000000000000000001",
        ] {
            assert_eq!(parse(header).unwrap().to_string(), header);
        }
    }

    #[test]
    fn order_space_and_unknown_parts_do_not_matter() {
        let header = parse(
            "Self=1-67891234-12456789abcdef012345678;Sampled=1; Parent = 53995C3F42CD8AD8 ;\
             Lineage=25:a87bd80c:1;noise;;Root=1-5759E988-bd862e3fe1be46a994272793;",
        )
        .unwrap();
        assert_eq!(header.root(), ROOT);
        assert_eq!(header.parent().as_deref(), Some("53995c3f42cd8ad8"));
        assert_eq!(header.sampled(), Some(true));
        assert_eq!(
            header.to_string(),
            format!("Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1;Lineage=25:a87bd80c:1")
        );
    }

    #[test]
    fn a_lineage_that_fits_into_no_header_is_passed_over() {
        let longest = "1".repeat(LINEAGE_LENGTH);
        let header = format!("Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1;Lineage={longest}");
        assert_eq!(parse(&header).unwrap().to_string(), header);
        assert_eq!(header.len(), 256);

        for lineage in ["", "a b", "a,b", "a=b", "ä", "a\rb", &format!("{longest}1")] {
            let header = parse(&format!("Root={ROOT};Lineage={lineage}")).unwrap();
            assert_eq!(header.to_string(), format!("Root={ROOT}"), "{lineage}");
        }
    }

    #[test]
    fn an_invocation_is_traced_if_its_header_says_so_anywhere() {
        let parent = "Parent=53995c3f42cd8ad8";
        for (header, is_sampled) in [
            (format!("Root={ROOT};{parent};Sampled=1"), true),
            (format!("Sampled=1;{parent};Root={ROOT}"), true),
            (format!("Root={ROOT}; Sampled = 1 ;{parent}"), true),
            (format!("Root={ROOT};{parent};Sampled=0;Sampled=1"), true),
            (format!("Root={ROOT};{parent};Sampled=1;Sampled=0"), false),
            (format!("Root={ROOT};{parent};Sampled=0"), false),
            (format!("Root={ROOT};{parent};Sampled=11"), false),
            (format!("Root={ROOT};{parent};Sampled=?"), false),
            (format!("Root={ROOT};{parent}"), false),
            (format!("{parent};Sampled=1"), false),
        ] {
            let mut context = lambda_runtime::Context::default();
            context.xray_trace_id = Some(header);
            let found = TraceHeader::of_sampled(&context);
            assert_eq!(found.is_some(), is_sampled, "{:?}", context.xray_trace_id);
        }
    }

    #[test]
    fn a_span_has_the_lineage_of_its_invocation() {
        let invocation = parse(&format!("Root={ROOT};Lineage=25:a87bd80c:1")).unwrap();
        for (own, lineage) in [("", "25:a87bd80c:1"), (";Lineage=1:b:0", "25:a87bd80c:1")] {
            let message = parse(&format!("Root={ROOT};Parent=53995c3f42cd8ad8{own}")).unwrap();
            let span = message.span_context_within(&invocation).unwrap();
            let header = TraceHeader::from_span_context(&span).unwrap();
            assert_eq!(header.lineage.as_deref(), Some(lineage));
        }
    }

    #[test]
    fn only_one_and_zero_decide() {
        for (value, sampled) in [
            ("1", Some(true)),
            ("0", Some(false)),
            ("?", None),
            ("2", None),
        ] {
            let header = parse(&format!("Root={ROOT};Sampled={value}")).unwrap();
            assert_eq!(header.sampled(), sampled, "{value}");
        }
    }

    #[test]
    fn a_header_without_a_usable_id_is_refused() {
        use TraceHeaderError::{InvalidParent, InvalidRoot, MissingRoot};

        for (header, error) in [
            ("", MissingRoot),
            ("Parent=53995c3f42cd8ad8;Sampled=1", MissingRoot),
            ("root=1-5759e988-bd862e3fe1be46a994272793", MissingRoot),
            ("Root=", InvalidRoot),
            ("Root=2-5759e988-bd862e3fe1be46a994272793", InvalidRoot),
            ("Root=1-5759e988-bd862e3fe1be46a99427279", InvalidRoot),
            ("Root=1-5759e988bd862e3fe1be46a994272793", InvalidRoot),
            ("Root=1-+759e988-bd862e3fe1be46a994272793", InvalidRoot),
            ("Root=1-00000000-000000000000000000000000", InvalidRoot),
            (
                "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=",
                InvalidParent,
            ),
            (
                "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=é3995c3f42cd8ad",
                InvalidParent,
            ),
            (
                "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=0000000000000000",
                InvalidParent,
            ),
        ] {
            assert_eq!(parse(header), Err(error), "{header}");
        }
    }

    #[test]
    fn there_is_no_current_header_outside_of_an_invocation() {
        assert_eq!(TraceHeader::current(), None);
    }

    proptest! {
        #[test]
        fn every_header_survives_a_round_trip(
            root in 1..=u128::MAX,
            parent in proptest::option::of(1..=u64::MAX),
            sampled: Option<bool>,
            lineage in proptest::option::of("[0-9]{1,5}:[0-9a-f]{8}:[0-9]{1,3}"),
        ) {
            let header = TraceHeader {
                root: TraceId::from(root),
                parent: parent.map(SpanId::from),
                sampled,
                lineage: lineage.map(Into::into),
            };
            prop_assert_eq!(parse(&header.to_string()), Ok(header.clone()));
            // Its span carries all of it, but that an open decision is one against the trace.
            if let Some(span) = header.span_context() {
                prop_assert_eq!(span.is_sampled(), sampled == Some(true));
                let sampled = Some(span.is_sampled());
                prop_assert_eq!(
                    TraceHeader::from_span_context(&span),
                    Some(TraceHeader { sampled, ..header })
                );
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(header in "(Root|Parent|Sampled|[A-Z]{0,3}|.{0,3}){0,1}[=;]{0,2}(1-[0-9a-f]{8}-[0-9a-f]{24}|.{0,40})([;=].{0,40}){0,3}") {
            if let Ok(parsed) = parse(&header) {
                prop_assert_eq!(parse(&parsed.to_string()), Ok(parsed));
            }
        }

        #[test]
        fn a_header_that_lost_its_form_is_never_sampled(
            cut in 0..74_usize,
            byte in any::<char>().prop_filter("another digit is well-formed", |it| {
                !it.is_ascii_hexdigit()
            }),
        ) {
            let header = format!("Sampled=1;Parent=53995c3f42cd8ad8;Root={ROOT}");
            prop_assert_eq!(header.len(), 74);
            let broken = format!("{}{byte}{}", &header[..cut], &header[cut + 1..]);
            let is_sampled = |header: &str| {
                let span = parse(header).ok().and_then(|it| it.span_context());
                span.is_some_and(|span| span.is_sampled())
            };
            prop_assert!(is_sampled(&header));
            prop_assume!(broken != header);
            prop_assert!(!is_sampled(&broken), "{broken}");
        }
    }
}
