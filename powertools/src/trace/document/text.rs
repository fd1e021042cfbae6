//! Texts within X-Ray's limits.

use std::borrow::Cow;

pub(super) const NAME_LENGTH: usize = 200;
pub(super) const ANNOTATION_KEY_LENGTH: usize = 500;
pub(super) const ANNOTATION_VALUE_LENGTH: usize = 1000;

/// The most characters of any other text that a document shows: an exception's message, a URL. This
/// limit is ours: it leaves room for the rest of the 64 KB that X-Ray takes.
pub(super) const TEXT_LENGTH: usize = 1000;

/// Keeps letters, numbers, spaces and the marks that X-Ray allows in a name.
pub(super) fn clean_name(name: &str) -> Cow<'_, str> {
    let is_allowed = |character: char| {
        character == ' ' || character.is_alphanumeric() || "_.:/%&#=+\\-@".contains(character)
    };
    // Length in bytes is no less than in characters.
    if !name.is_empty() && name.len() <= NAME_LENGTH && name.chars().all(is_allowed) {
        return Cow::Borrowed(name);
    }
    let allowed = name.chars().filter_map(|character| {
        let character = if character.is_whitespace() {
            ' '
        } else {
            character
        };
        is_allowed(character).then_some(character)
    });
    let name: String = allowed.take(NAME_LENGTH).collect();
    if name.is_empty() {
        Cow::Borrowed("unnamed")
    } else {
        Cow::Owned(name)
    }
}

/// Makes `_` of what X-Ray does not allow in the key of an annotation.
pub(super) fn clean_key(key: &str) -> Cow<'_, str> {
    let is_allowed = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if key.len() <= ANNOTATION_KEY_LENGTH && key.chars().all(is_allowed) {
        return Cow::Borrowed(key);
    }
    let characters = key.chars().take(ANNOTATION_KEY_LENGTH);
    Cow::Owned(
        characters
            .map(|character| {
                if is_allowed(character) {
                    character
                } else {
                    '_'
                }
            })
            .collect(),
    )
}

pub(super) fn shorten(text: &str, characters: usize) -> Cow<'_, str> {
    if text.len() <= characters {
        return Cow::Borrowed(text);
    }
    let end = text.char_indices().nth(characters).map(|(end, _)| end);
    Cow::Borrowed(&text[..end.unwrap_or(text.len())])
}

/// Returns what a URL names: without its query and its fragment, and without a user's name and
/// password, which hold tokens.
pub(in crate::trace) fn public_url(url: &str) -> Cow<'_, str> {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some(start) = url.find("//").map(|slashes| slashes + 2) else {
        return Cow::Borrowed(url);
    };
    let (scheme, rest) = url.split_at(start);
    let authority = rest.split(['/', '\\']).next().unwrap_or_default();
    match authority.rfind('@') {
        Some(user) => Cow::Owned(format!("{scheme}{}", &rest[user + 1..])),
        None => Cow::Borrowed(url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_no_user_and_no_query() {
        for (url, public) in [
            ("https://shop.example/a", "https://shop.example/a"),
            ("https://shop.example/a?token=t", "https://shop.example/a"),
            ("https://shop.example?token=t/@b", "https://shop.example"),
            ("https://shop.example/a#token=t", "https://shop.example/a"),
            (
                "https://me:p@shop.example:8443/a@b",
                "https://shop.example:8443/a@b",
            ),
            ("https://me@p@shop.example", "https://shop.example"),
            ("//me:p@shop.example/a", "//shop.example/a"),
            ("/a/b@c?d", "/a/b@c"),
            ("", ""),
        ] {
            assert_eq!(public_url(url), public, "{url}");
        }
    }
}
