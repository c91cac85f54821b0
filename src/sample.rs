//! The sample shop: a seeded year of a corner shop's order lines, with kinds of customers and habits planted in it.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime};
use datafusion::arrow::array::{
    Decimal128Builder, Int32Builder, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::parquet::arrow::ArrowWriter;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, ErrorKind, Result};

pub const LAST_DAY: NaiveDate = NaiveDate::from_ymd_opt(2024, 12, 31).unwrap();
const DAYS: u64 = 366;
const SEED: u64 = 2024;

/// A kind of customer: its share of the orders, how many orders one of them places, and between which days of the year.
struct Kind {
    prefix: char,
    share_of_orders: f64,
    orders_each: u32,
    from_day: u64,
    to_day: u64,
}

const KINDS: &[Kind] = &[
    Kind { prefix: 'R', share_of_orders: 0.42, orders_each: 50, from_day: 0, to_day: 365 },
    Kind { prefix: 'L', share_of_orders: 0.20, orders_each: 25, from_day: 0, to_day: 180 },
    Kind { prefix: 'O', share_of_orders: 0.24, orders_each: 6, from_day: 0, to_day: 365 },
    Kind { prefix: 'N', share_of_orders: 0.06, orders_each: 2, from_day: 335, to_day: 365 },
    Kind { prefix: 'S', share_of_orders: 0.08, orders_each: 1, from_day: 0, to_day: 365 },
];

/// Items with their price in cents, the most popular first.
const ITEMS: &[(&str, i32)] = &[
    ("bread", 280),
    ("milk", 125),
    ("bananas", 160),
    ("eggs", 310),
    ("butter", 245),
    ("apples", 220),
    ("tomatoes", 240),
    ("coffee", 650),
    ("cheddar", 420),
    ("yoghurt", 180),
    ("onions", 95),
    ("potatoes", 210),
    ("chicken", 740),
    ("orange-juice", 260),
    ("cereal", 330),
    ("rice", 190),
    ("chocolate", 175),
    ("lettuce", 130),
    ("beer", 890),
    ("carrots", 85),
    ("wine", 950),
    ("ham", 360),
    ("toilet-paper", 480),
    ("cucumber", 90),
    ("mince", 560),
    ("crisps", 210),
    ("ice-cream", 450),
    ("tea", 270),
    ("honey", 390),
    ("pasta", 140),
    ("olive-oil", 720),
    ("flour", 110),
    ("sugar", 120),
    ("tuna", 230),
    ("soap", 150),
    ("batteries", 640),
    ("tortillas", 240),
    ("gin", 2150),
    ("nappies", 1150),
    ("candles", 330),
    ("cat-food", 520),
    ("salmon", 980),
    ("tomato-sauce", 190),
    ("parmesan", 410),
    ("salsa", 260),
    ("guacamole", 290),
    ("tonic-water", 320),
    ("limes", 150),
    ("baby-wipes", 280),
    ("oat-milk", 210),
    ("baking-powder", 90),
    ("cat-litter", 610),
];

/// Habits: who buys the first items often takes the last one, too, at this chance.
const HABITS: &[(&[&str], &str, f64)] = &[
    (&["pasta"], "tomato-sauce", 0.55),
    (&["pasta", "tomato-sauce"], "parmesan", 0.7),
    (&["tortillas"], "salsa", 0.65),
    (&["tortillas", "salsa"], "guacamole", 0.4),
    (&["gin"], "tonic-water", 0.8),
    (&["gin", "tonic-water"], "limes", 0.5),
    (&["nappies"], "baby-wipes", 0.75),
    (&["coffee"], "oat-milk", 0.35),
    (&["flour", "sugar"], "baking-powder", 0.6),
    (&["cat-food"], "cat-litter", 0.6),
];

struct Order {
    at: NaiveDateTime,
    customer: Option<String>,
}

/// Writes the shop as Parquet, one folder a month, in place of any before it; gives the number of lines.
///
/// # Errors
/// When the folder cannot be written.
pub fn write(folder: &Path, orders: u32) -> Result<u64> {
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::External, "the sample shop cannot be written")
            .with("folder", folder.display())
            .caused_by(error)
    };
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut orders = draw_orders(orders, &mut random);
    orders.sort_by_key(|order| order.at);
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(failed)?;
    }
    let mut lines = 0;
    let mut number = 0;
    for month in orders.chunk_by(|a, b| a.at.month() == b.at.month()) {
        let mut batch = Lines::default();
        for order in month {
            number += 1;
            batch.push_order(100_000 + number, order, &mut random);
        }
        let batch = batch.finish()?;
        lines += batch.num_rows() as u64;
        let partition = folder.join(format!("month={}", month[0].at.format("%Y-%m")));
        fs::create_dir_all(&partition).map_err(failed)?;
        let file = File::create(partition.join("part-00000.parquet")).map_err(failed)?;
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None)?;
        writer.write(&batch)?;
        writer.close()?;
    }
    Ok(lines)
}

fn draw_orders(count: u32, random: &mut ChaCha8Rng) -> Vec<Order> {
    let first_day = LAST_DAY - Days::new(DAYS - 1);
    (0..count)
        .map(|_| {
            let kind = draw_kind(random);
            let customers = (f64::from(count) * kind.share_of_orders / f64::from(kind.orders_each)).ceil();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a small whole number
            let customer = random.random_range(0..customers.max(1.0) as u32);
            let day = first_day + Days::new(random.random_range(kind.from_day..=kind.to_day));
            let second = random.random_range(8 * 3600..21 * 3600);
            let at = day.and_time(chrono::NaiveTime::default()) + chrono::Duration::seconds(second);
            // one order in twelve is placed by a guest
            let customer = (!random.random_bool(1.0 / 12.0)).then(|| format!("{}{customer:05}", kind.prefix));
            Order { at, customer }
        })
        .collect()
}

fn draw_kind(random: &mut ChaCha8Rng) -> &'static Kind {
    let mut rest = random.random::<f64>();
    for kind in KINDS {
        if rest < kind.share_of_orders {
            return kind;
        }
        rest -= kind.share_of_orders;
    }
    &KINDS[0]
}

fn draw_basket(random: &mut ChaCha8Rng) -> Vec<&'static str> {
    let mut basket: Vec<&str> = Vec::new();
    loop {
        // popularity falls with the place in the list
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // below the number of items
        let place = (random.random::<f64>().powf(1.7) * ITEMS.len() as f64) as usize;
        let item = ITEMS[place].0;
        if !basket.contains(&item) {
            basket.push(item);
        }
        if random.random_bool(0.3) {
            break;
        }
    }
    for (given, then, chance) in HABITS {
        let tempted = given.iter().all(|item| basket.contains(item)) && !basket.contains(then);
        if tempted && random.random_bool(*chance) {
            basket.push(then);
        }
    }
    basket
}

#[derive(Default)]
struct Lines {
    order_id: Int64Builder,
    customer_id: StringBuilder,
    order_ts: TimestampMicrosecondBuilder,
    item_id: StringBuilder,
    quantity: Int32Builder,
    unit_price: Decimal128Builder,
}

impl Lines {
    fn push_order(&mut self, order_id: i64, order: &Order, random: &mut ChaCha8Rng) {
        let basket = draw_basket(random);
        // one order in sixty is brought back
        let sign = if random.random_bool(1.0 / 60.0) { -1 } else { 1 };
        for item in basket {
            let price = ITEMS.iter().find(|(name, _)| *name == item).map_or(0, |(_, price)| *price);
            self.order_id.append_value(order_id);
            self.customer_id.append_option(order.customer.as_deref());
            self.order_ts.append_value(order.at.and_utc().timestamp_micros());
            self.item_id.append_value(item);
            self.quantity.append_value(sign * random.random_range(1..=3));
            self.unit_price.append_value(price.into());
        }
    }

    fn finish(mut self) -> Result<RecordBatch> {
        let columns: Vec<datafusion::arrow::array::ArrayRef> = vec![
            Arc::new(self.order_id.finish()),
            Arc::new(self.customer_id.finish()),
            Arc::new(self.order_ts.finish()),
            Arc::new(self.item_id.finish()),
            Arc::new(self.quantity.finish()),
            Arc::new(self.unit_price.finish().with_precision_and_scale(12, 2)?),
        ];
        Ok(RecordBatch::try_new(schema(), columns)?)
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("order_id", DataType::Int64, false),
        Field::new("customer_id", DataType::Utf8, true),
        Field::new("order_ts", DataType::Timestamp(TimeUnit::Microsecond, None), false),
        Field::new("item_id", DataType::Utf8, false),
        Field::new("quantity", DataType::Int32, false),
        Field::new("unit_price", DataType::Decimal128(12, 2), false),
    ]))
}
