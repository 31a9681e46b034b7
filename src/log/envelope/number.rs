//! What a JSON number means: the value of its canonical text.
//!
//! RFC 8785 writes every number as the double that it is nearest to, so `9007199254740993` and
//! `9007199254740992` would get one text and one hash. Here an integer keeps its own digits, and
//! what neither 64 bits nor a double can hold is refused:
//!
//! ```text
//! 1.0, 1, 1e0, -0       the integer 1, 1, 1, 0: as RFC 8785 writes them
//! 9007199254740993      the integer itself: beyond 2^53 the one departure from RFC 8785
//! 0.1, 1e300            the double, as RFC 8785 writes it
//! 100000000000000000000 the double 1e20, since these digits are its canonical text
//! 18446744073709551615  refused: neither
//! 1e400                 refused: not finite
//! ```
//!
//! So two different integers never share a text, and reading the canonical text gives the value
//! that was written.

use super::json::Json;

/// The value of a token that has the grammar of a number; `integral` when it has neither a point
/// nor an exponent. An error is a sentence.
pub(super) fn read(token: &str, integral: bool) -> Result<Json<'static>, &'static str> {
    if integral && let Ok(integer) = token.parse() {
        return Ok(Json::Integer(integer));
    }
    let float: f64 = token.parse().map_err(|_| "this number cannot be read")?;
    if !float.is_finite() {
        return Err("this number does not fit a double; it must lie within ±1.8e308");
    }
    if float.fract() != 0.0 {
        return Ok(Json::Float(float));
    }
    let mut buffer = ryu_js::Buffer::new();
    let text = buffer.format_finite(float);
    if integral && text != token {
        return Err("this integer does not fit 64 bits; send it as a string");
    }
    Ok(text.parse().map_or(Json::Float(float), Json::Integer))
}
