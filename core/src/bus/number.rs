//! Numbers of any size in few bytes: LEB128.

use bytes::{Buf, Bytes};

/// Writes a number.
pub fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads what [`put_number`] wrote; `None` if it is cut off or too large.
pub fn get_number(rest: &mut Bytes) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = rest.try_get_u8().ok()?;
        let part = u64::from(byte & 0x7f);
        if part.leading_zeros() < shift {
            return None;
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_cut_off_or_too_large_is_no_number() {
        for bytes in [&[][..], &[0x80], &[0xff; 9], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]] {
            assert_eq!(get_number(&mut Bytes::copy_from_slice(bytes)), None, "{bytes:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_number_survives(bits in 0_u32..64, random: u64) {
            let number = random >> bits;
            let mut written = Vec::new();

            put_number(&mut written, number);
            written.push(7);
            let mut rest = Bytes::from(written);

            prop_assert_eq!(get_number(&mut rest), Some(number));
            prop_assert_eq!(&rest[..], [7]);
        }
    }
}
