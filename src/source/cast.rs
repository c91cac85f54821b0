//! Casts from the input's types to ours, each with a test for the values that cannot be cast.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::functions::expr_fn::{isnan, nullif, regexp_like, to_local_time, trim, trunc};
use datafusion::logical_expr::{Expr, cast, lit, try_cast, when};
use datafusion::scalar::ScalarValue;

use super::mapping::null;
use crate::error::{Error, ErrorKind, Result};

pub const ID: DataType = DataType::Utf8View;
pub const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
/// Quantities and unit prices.
pub const FACTOR: DataType = DataType::Decimal128(18, 4);
pub const MONEY: DataType = DataType::Decimal128(38, 4);

/// A value of our type, and where some values may not have one, when that is so.
#[derive(Debug)]
pub struct Cast {
    pub value: Expr,
    pub fails: Option<Expr>,
    /// Where there is no value, when that is seen without casting.
    pub missing: Option<Expr>,
}

impl Cast {
    fn always(value: Expr) -> Self {
        Self { value, fails: None, missing: None }
    }

    /// A cast that has a value wherever one is given.
    pub fn total(given: &Expr, value: Expr) -> Self {
        Self { value, fails: None, missing: Some(given.clone().is_null()) }
    }

    /// A cast that gives null for what it cannot cast.
    fn attempt(given: &Expr, value: Expr) -> Self {
        let fails = given.clone().is_not_null().and(value.clone().is_null());
        Self { value, fails: Some(fails), missing: None }
    }
}

/// The first of January of the year 1 and the last of December of 9999, as days since 1970.
const FIRST_DAY: i64 = -719_162;
const LAST_DAY: i64 = 2_932_896;

/// How many of a unit a day has.
fn a_day_in(unit: TimeUnit) -> i64 {
    const SECONDS: i64 = 24 * 60 * 60;
    match unit {
        TimeUnit::Second => SECONDS,
        TimeUnit::Millisecond => SECONDS * 1_000,
        TimeUnit::Microsecond => SECONDS * 1_000_000,
        TimeUnit::Nanosecond => SECONDS * 1_000_000_000,
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

fn unusable(what: &str, from: &DataType) -> Error {
    Error::new(
        ErrorKind::Schema,
        format!("{what} cannot be made from {from}; map a SQL expression that casts it"),
    )
}

/// An id that is no integer, as a string. Numbers without a fraction are written without one; an empty string or NaN is no id.
pub fn id(given: &Expr, from: &DataType) -> Result<Cast> {
    let as_text = |expr: Expr| cast(expr, ID);
    match from {
        text if is_text(text) => {
            Ok(Cast::always(nullif(as_text(given.clone()), lit(ScalarValue::Utf8View(Some(String::new()))))))
        }
        DataType::Null | DataType::Boolean | DataType::Date32 | DataType::Date64 => {
            Ok(Cast::total(given, as_text(given.clone())))
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let number = cast(given.clone(), DataType::Float64);
            let whole = trunc(vec![number.clone()])
                .eq(number.clone())
                .and(number.clone().between(lit(-9e15), lit(9e15)));
            let value = when(isnan(number.clone()), null(&ID)?)
                .when(whole, as_text(cast(number.clone(), DataType::Int64)))
                .otherwise(as_text(number))?;
            Ok(Cast::always(value))
        }
        DataType::Decimal128(precision, scale) if *scale > 0 => {
            let whole = DataType::Decimal128(*precision, 0);
            let rounded = cast(given.clone(), whole);
            let value = when(given.clone().eq(rounded.clone()), as_text(rounded))
                .otherwise(as_text(given.clone()))?;
            Ok(Cast::always(value))
        }
        decimal if decimal.is_decimal() => Ok(Cast::always(as_text(given.clone()))),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            let text = try_cast(given.clone(), DataType::Utf8);
            Ok(Cast::attempt(given, nullif(as_text(text), lit(ScalarValue::Utf8View(Some(String::new()))))))
        }
        other => Err(unusable("an id", other)),
    }
}

/// A moment in local time. Zoned timestamps become local to the time zone; naive ones are local already; text may be
/// either.
pub fn time(given: &Expr, from: &DataType, timezone: &str) -> Result<Cast> {
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some(timezone.into()));
    let local = |expr: Expr| cast(to_local_time(vec![expr]), TIME);
    // casts of what is out of range wrap round, or fail for all lines
    let within = |value: Expr, a_day: i64| {
        let number = cast(given.clone(), DataType::Int64);
        let in_range = number.between(lit(FIRST_DAY * a_day), lit((LAST_DAY + 1) * a_day - 1));
        Ok::<_, Error>(Cast::attempt(given, when(in_range, value).otherwise(null(&TIME)?)?))
    };
    match from {
        DataType::Null | DataType::Timestamp(TimeUnit::Nanosecond, None) => {
            Ok(Cast::total(given, cast(given.clone(), TIME)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            let before =
                ScalarValue::TimestampMicrosecond(Some(FIRST_DAY * a_day_in(TimeUnit::Microsecond)), None);
            let fails = Some(given.clone().lt(lit(before)));
            Ok(Cast { fails, ..Cast::total(given, cast(given.clone(), TIME)) })
        }
        DataType::Date32 => within(try_cast(given.clone(), TIME), 1),
        DataType::Date64 => within(try_cast(given.clone(), TIME), a_day_in(TimeUnit::Millisecond)),
        DataType::Timestamp(unit, None) => within(try_cast(given.clone(), TIME), a_day_in(*unit)),
        DataType::Timestamp(TimeUnit::Nanosecond, Some(_)) => {
            Ok(Cast::attempt(given, local(try_cast(given.clone(), zoned))))
        }
        DataType::Timestamp(unit, Some(_)) => within(local(try_cast(given.clone(), zoned)), a_day_in(*unit)),
        text if is_text(text) => {
            let text = present_text(given);
            let is_zoned = regexp_like(
                text.clone(),
                lit(r"\d\d:\d\d\S*?\s*([A-Za-z][A-Za-z_/]*|[+-]\d\d(:?\d\d)?)$"),
                None,
            );
            let value = when(is_zoned, local(try_cast(text.clone(), zoned)))
                .otherwise(try_cast(text.clone(), TIME))?;
            Ok(Cast::attempt(&text, value))
        }
        other => Err(unusable("a time", other)),
    }
}

/// A decimal with four digits after the point, rounded half away from zero.
pub fn decimal(given: &Expr, from: &DataType, to: &DataType) -> Result<Cast> {
    let DataType::Decimal128(to_precision, to_scale) = *to else {
        return Err(Error::internal("a decimal is asked for"));
    };
    let fits = |precision: u8, scale: i8| {
        i16::from(precision) - i16::from(scale) < i16::from(to_precision) - i16::from(to_scale)
    };
    match from {
        DataType::Null
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32 => Ok(Cast::always(cast(given.clone(), to.clone()))),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
            if fits(*precision, *scale) =>
        {
            Ok(Cast::always(cast(given.clone(), to.clone())))
        }
        DataType::Int64 => {
            let most = 10_i128.pow((i16::from(to_precision) - i16::from(to_scale)).unsigned_abs().into()) - 1;
            let fails = i64::try_from(most)
                .ok()
                .map(|most| given.clone().lt(lit(-most)).or(given.clone().gt(lit(most))));
            Ok(Cast { fails, ..Cast::always(try_cast(given.clone(), to.clone())) })
        }
        number if number.is_numeric() => Ok(Cast::attempt(given, try_cast(given.clone(), to.clone()))),
        text if is_text(text) => {
            let text = present_text(given);
            Ok(Cast::attempt(&text, try_cast(text.clone(), to.clone())))
        }
        other => Err(unusable("a number", other)),
    }
}

/// Text without blanks around it, null where nothing else is there.
fn present_text(given: &Expr) -> Expr {
    nullif(trim(vec![cast(given.clone(), DataType::Utf8)]), lit(""))
}
