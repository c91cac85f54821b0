//! Order ids as the numbers that `customer_orders` keeps in its sets.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, StringBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::interner::Interner;

/// How order ids become the numbers that sets hold: integers as their bits, strings by numbering them once for all groups (those
/// of groups already emitted stay numbered until the end).
#[derive(Debug)]
pub enum OrderIds {
    Integers,
    Strings(Interner),
}

impl OrderIds {
    pub fn new(data_type: &DataType) -> Self {
        if *data_type == DataType::Int64 { Self::Integers } else { Self::Strings(Interner::default()) }
    }

    /// The ids behind some numbers.
    pub fn ids(&self, numbers: &[u64]) -> Result<ArrayRef> {
        match self {
            Self::Integers => {
                Ok(Arc::new(numbers.iter().map(|number| Some(number.cast_signed())).collect::<Int64Array>()))
            }
            Self::Strings(strings) => {
                let mut ids = StringBuilder::new();
                for number in numbers {
                    ids.append_value(strings.text(*number as u32)?);
                }
                Ok(Arc::new(ids.finish()))
            }
        }
    }

    pub fn data_type(&self) -> DataType {
        match self {
            Self::Integers => DataType::Int64,
            Self::Strings(_) => DataType::Utf8,
        }
    }

    pub fn size(&self) -> usize {
        match self {
            Self::Integers => 0,
            Self::Strings(strings) => strings.size(),
        }
    }
}

/// An order with its day in 12 bytes, since it is moving them that takes time: the halves of its number, the higher first, which keeps the
/// order of numbers, then the day.
pub type DatedOrder = [u32; 3];

/// Earlier than any day of a calendar.
const NO_DAY: i32 = i32::MIN;

pub fn dated(order: u64, day: Option<i32>) -> DatedOrder {
    [(order >> u32::BITS) as u32, order as u32, day.unwrap_or(NO_DAY).cast_unsigned()]
}

pub fn order_of([high, low, _]: DatedOrder) -> u64 {
    u64::from(high) << u32::BITS | u64::from(low)
}

pub fn day_of([_, _, day]: DatedOrder) -> Option<i32> {
    Some(day.cast_signed()).filter(|day| *day != NO_DAY)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![any::<u64>(), 0..4_u64]
    }

    proptest! {
        #[test]
        fn dated_orders_come_back_and_are_ordered_as_their_numbers(orders in [number(), number()], day in prop::option::of(i32::MIN + 1..)) {
            let [first, second] = orders.map(|order| dated(order, day));
            prop_assert_eq!([order_of(first), order_of(second)], orders);
            prop_assert_eq!(day_of(first), day);
            prop_assert_eq!(first.cmp(&second), orders[0].cmp(&orders[1]));
        }
    }
}
