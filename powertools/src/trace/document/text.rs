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
