//! Numbers of variable length, as Protobuf, Avro and Confluent write them.

/// Takes a number from the front of the input: seven bits a byte, the lowest first. `None` where
/// the input ends within it, or where it has more than 64 bits.
pub(super) fn unsigned(input: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = input.split_first()?;
        *input = rest;
        let bits = u64::from(byte & 0x7f);
        let shifted = bits << shift;
        if shifted >> shift != bits {
            return None;
        }
        number |= shifted;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Takes a signed number, written so that small ones of both signs are short ("zig-zag").
#[cfg(any(feature = "batch-avro", feature = "batch-protobuf"))]
pub(super) fn signed(input: &mut &[u8]) -> Option<i64> {
    let number = unsigned(input)?;
    Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
}

/// Takes so many bytes from the front of the input.
pub(super) fn bytes<'a>(input: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (bytes, rest) = input.split_at_checked(usize::try_from(length).ok()?)?;
    *input = rest;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write(mut number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number > 0x7f {
            bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }

    #[test]
    fn a_number_ends_with_the_input_or_after_64_bits() {
        assert_eq!(unsigned(&mut &[][..]), None);
        assert_eq!(unsigned(&mut &[0x80][..]), None);
        assert_eq!(unsigned(&mut &[0xff; 20][..]), None);
        let largest = [&[0xff; 9][..], &[1]].concat();
        assert_eq!(unsigned(&mut &largest[..]), Some(u64::MAX));
        let larger = [&[0xff; 9][..], &[2]].concat();
        assert_eq!(unsigned(&mut &larger[..]), None);
    }

    #[cfg(any(feature = "batch-avro", feature = "batch-protobuf"))]
    #[test]
    fn small_numbers_of_both_signs_are_short() {
        for (byte, number) in [(0, 0), (1, -1), (2, 1), (3, -2), (4, 2)] {
            assert_eq!(signed(&mut &[byte][..]), Some(number));
        }
    }

    #[test]
    fn no_more_bytes_are_taken_than_there_are() {
        let mut input = &b"abc"[..];
        assert_eq!(bytes(&mut input, 4), None);
        assert_eq!(bytes(&mut input, u64::MAX), None);
        assert_eq!(bytes(&mut input, 2), Some(&b"ab"[..]));
        assert_eq!(input, b"c");
    }

    proptest! {
        #[test]
        fn every_number_comes_back(number: u64, rest: Vec<u8>) {
            let written = [write(number), rest.clone()].concat();
            let mut input = &written[..];
            prop_assert_eq!(unsigned(&mut input), Some(number));
            prop_assert_eq!(input, rest);
        }
    }
}
