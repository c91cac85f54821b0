//! `customer_orders(order_id, order_time, amount[, lines])`: a customer's orders in one pass: first and last date, how many
//! orders, on how many days, of how many lines, for how much.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Int64Array, ListArray, StructArray,
};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, FieldRef, Fields, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, DocSection, Documentation, EmitTo, GroupsAccumulator, Signature,
    Volatility,
};

use super::few_groups::id_type;
use super::grouped_sets::{GroupedSets, Sets};
use super::order_ids::{DatedOrder, OrderIds, dated, day_of, order_of};
use super::single_group::SingleGroup;
use super::{list_offsets, list_range, passes};

const MONEY: DataType = DataType::Decimal128(38, 4);

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "A customer's orders as a struct of first_order_date, last_order_date, orders (distinct order ids), \
         active_days (distinct dates), lines (of rows with an order id) and monetary (the exact sum). A null argument adds \
         nothing to its part: a refund is (NULL, NULL, amount). Takes 32 bytes of memory for each customer, 16 to 32 \
         for each order and day of it, 8 to 16 for each day where states are merged, and some 20 and the id for each id that is a string.",
        "customer_orders(order_id, order_time, amount[, lines])",
    )
    .with_argument("order_id", "The order a line belongs to, an integer or a string.")
    .with_argument("order_time", "Its date, or a timestamp of that day.")
    .with_argument("amount", "The line's money, decimal(38,4).")
    .with_argument("lines", "How many lines a row stands for: one unless it is given.")
    .with_sql_example(
        "SELECT customer_id, customer_orders(order_id, order_ts, amount) FROM line GROUP BY customer_id",
    )
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct CustomerOrders {
    signature: Signature,
}

impl Default for CustomerOrders {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for CustomerOrders {
    fn name(&self) -> &'static str {
        "customer_orders"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        if !(3..=4).contains(&arg_types.len()) {
            return plan_err!(
                "customer_orders takes order_id, order_time, amount and, if need be, lines, not {} arguments",
                arg_types.len()
            );
        }
        let id = id_type("customer_orders", &arg_types[..1])?;
        let time = match &arg_types[1] {
            DataType::Timestamp(_, _) => DataType::Timestamp(TimeUnit::Microsecond, None),
            _ => DataType::Date32,
        };
        if let Some(lines) = arg_types.get(3).filter(|lines| !lines.is_integer() && !lines.is_null()) {
            return plan_err!("customer_orders takes lines as an integer, not as {lines}");
        }
        let lines = arg_types[3..].iter().map(|_| DataType::Int64);
        Ok(id.into_iter().chain([time, MONEY]).chain(lines).collect())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(result_fields()))
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field =
            |name, data_type| Arc::new(Field::new(format_state_name(args.name, name), data_type, true));
        Ok(vec![
            field("first_order_date", DataType::Date32),
            field("last_order_date", DataType::Date32),
            field("monetary", MONEY),
            field("lines", DataType::Int64),
            field("orders", DataType::List(orders_field(args.input_fields[0].data_type()))),
            field("days", DataType::List(days_field())),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let mut orders = OrdersAccumulator::new(&args.exprs[0].data_type(args.schema)?);
        orders.grow(1);
        Ok(Box::new(SingleGroup(orders)))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(OrdersAccumulator::new(&args.exprs[0].data_type(args.schema)?)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

fn result_fields() -> Fields {
    Fields::from(vec![
        Field::new("first_order_date", DataType::Date32, true),
        Field::new("last_order_date", DataType::Date32, true),
        Field::new("orders", DataType::Int64, false),
        Field::new("active_days", DataType::Int64, false),
        Field::new("lines", DataType::Int64, false),
        Field::new("monetary", MONEY, false),
    ])
}

/// Lists of order ids in states: integers, or strings whatever their layout.
fn orders_field(ids: &DataType) -> FieldRef {
    let ids = if *ids == DataType::Int64 { DataType::Int64 } else { DataType::Utf8 };
    Arc::new(Field::new_list_field(ids, true))
}

fn days_field() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Date32, true))
}

/// What is known of a group beside its sets, in half a line of the cache: looking it up is what takes time.
#[derive(Debug, Clone)]
#[repr(align(32))]
struct Totals {
    monetary: i128,
    lines: i64,
    /// The first and the last day; the first is after the last where there is none.
    first: i32,
    last: i32,
}

impl Default for Totals {
    fn default() -> Self {
        Self { monetary: 0, lines: 0, first: i32::MAX, last: i32::MIN }
    }
}

fn too_much() -> DataFusionError {
    exec_datafusion_err!("a customer's amounts add up to more than decimal(38,4) holds")
}

fn too_many() -> DataFusionError {
    exec_datafusion_err!("a customer's lines add up to more than 64 bits hold")
}

impl Totals {
    fn add(&mut self, amount: i128, lines: i64) -> Result<()> {
        self.monetary = self.monetary.checked_add(amount).ok_or_else(too_much)?;
        self.lines = self.lines.checked_add(lines).ok_or_else(too_many)?;
        Ok(())
    }

    fn widen(&mut self, first: Option<i32>, last: Option<i32>) {
        self.first = self.first.min(first.unwrap_or(i32::MAX));
        self.last = self.last.max(last.unwrap_or(i32::MIN));
    }

    fn first(&self) -> Option<i32> {
        (self.first <= self.last).then_some(self.first)
    }

    fn last(&self) -> Option<i32> {
        (self.first <= self.last).then_some(self.last)
    }
}

/// For each group its totals, its orders with their days, and the days that came without an order, as those of merged states do.
#[derive(Debug)]
struct OrdersAccumulator {
    ids: OrderIds,
    totals: Vec<Totals>,
    orders: GroupedSets<DatedOrder>,
    other_days: GroupedSets<i32>,
}

impl OrdersAccumulator {
    fn new(ids: &DataType) -> Self {
        Self {
            ids: OrderIds::new(ids),
            totals: Vec::new(),
            orders: GroupedSets::default(),
            other_days: GroupedSets::default(),
        }
    }

    fn grow(&mut self, groups: usize) {
        self.totals.resize(groups, Totals::default());
    }

    /// Brings the totals of some rows' groups near: reads that do not depend on one another wait for memory together, and those of the
    /// loop that follows, each of which decides what is done next, would wait one after the other.
    fn fetch(&self, group_indices: &[usize]) {
        let near = group_indices.iter().fold(0_i64, |near, group| near ^ self.totals[*group].lines);
        std::hint::black_box(near);
    }

    /// Adds rows whose orders' numbers are told by row.
    fn add_rows(
        &mut self,
        rows: &Rows<'_>,
        order_of: impl Fn(usize) -> Option<u64>,
        times: &ArrayRef,
    ) -> Result<()> {
        if let Some(times) = times.as_primitive_opt::<TimestampMicrosecondType>() {
            let time_of = |row| times.is_valid(row).then(|| times.value(row));
            self.add_runs(rows, order_of, time_of, day_of_timestamp)
        } else {
            let dates = times.as_primitive::<Date32Type>();
            let day_of = |row| dates.is_valid(row).then(|| i64::from(dates.value(row)));
            self.add_runs(rows, order_of, day_of, |day| day as i32)
        }
    }

    /// Lines of an order often stand together: they are added as one, since it is looking up a customer that takes time.
    fn add_runs(
        &mut self,
        all: &Rows<'_>,
        order_of: impl Fn(usize) -> Option<u64>,
        time_of: impl Fn(usize) -> Option<i64>,
        day_of: impl Fn(i64) -> i32,
    ) -> Result<()> {
        for start in (0..all.groups.len()).step_by(FETCHED) {
            let fetched = start..all.groups.len().min(start + FETCHED);
            self.fetch(&all.groups[fetched.clone()]);
            let mut rows = fetched.filter(|row| passes(all.filter, *row)).peekable();
            while let Some(row) = rows.next() {
                let (group, order, time) = (all.groups[row], order_of(row), time_of(row));
                // of rows without an order none count
                let lines_of = |row| if order.is_some() { all.lines(row) } else { 0 };
                let (mut amount, mut lines) = (all.amount(row), lines_of(row));
                let is_same = |row: &usize| {
                    all.groups[*row] == group && order_of(*row) == order && time_of(*row) == time
                };
                while let Some(row) = rows.next_if(is_same) {
                    amount = amount.checked_add(all.amount(row)).ok_or_else(too_much)?;
                    lines = lines.checked_add(lines_of(row)).ok_or_else(too_many)?;
                }
                let totals = &mut self.totals[group];
                totals.add(amount, lines)?;
                let day = time.map(&day_of);
                totals.widen(day, day);
                match (order, day) {
                    (Some(order), day) => self.orders.insert(group, dated(order, day)),
                    (None, Some(day)) => self.other_days.insert(group, day),
                    (None, None) => {}
                }
            }
        }
        Ok(())
    }
}

/// Rows to add to their groups.
struct Rows<'a> {
    groups: &'a [usize],
    filter: Option<&'a BooleanArray>,
    amounts: &'a Decimal128Array,
    /// None where a row is a line.
    lines: Option<&'a Int64Array>,
}

impl Rows<'_> {
    fn amount(&self, row: usize) -> i128 {
        if self.amounts.is_valid(row) { self.amounts.value(row) } else { 0 }
    }

    fn lines(&self, row: usize) -> i64 {
        self.lines.map_or(1, |lines| if lines.is_valid(row) { lines.value(row) } else { 0 })
    }
}

/// Of how many rows the groups' totals are brought near at a time: few enough for the fastest cache to keep them.
const FETCHED: usize = 256;

/// Shows for each group its orders, in the order of the sets, and its days, in no order; either may repeat.
fn for_each_group(
    dated_orders: &Sets<DatedOrder>,
    other_days: &Sets<i32>,
    mut shown: impl FnMut(&mut Vec<u64>, &mut Vec<i32>),
) {
    let (mut orders, mut days) = (Vec::new(), Vec::new());
    for (dated, others) in dated_orders.iter().zip(other_days.iter()) {
        orders.clear();
        orders.extend(dated.iter().map(|dated| order_of(*dated)));
        days.clear();
        days.extend(dated.iter().filter_map(|dated| day_of(*dated)).chain(others.iter().copied()));
        shown(&mut orders, &mut days);
    }
}

/// Up to how many values each is compared with those before it, which takes less than to sort them.
const FEW: usize = 32;

/// How many distinct values there are; leaves them in no order.
fn distinct<T: Copy + Ord>(values: &mut Vec<T>) -> i64 {
    if values.len() > FEW {
        values.sort_unstable();
        values.dedup();
        return values.len() as i64;
    }
    (0..values.len()).filter(|place| !values[..*place].contains(&values[*place])).count() as i64
}

/// The columns that states and results have in common: first and last date, money, lines.
fn columns_of(totals: &[Totals]) -> [ArrayRef; 4] {
    let monetary: Decimal128Array = totals.iter().map(|totals| Some(totals.monetary)).collect();
    [
        Arc::new(totals.iter().map(Totals::first).collect::<Date32Array>()),
        Arc::new(totals.iter().map(Totals::last).collect::<Date32Array>()),
        Arc::new(monetary.with_data_type(MONEY)),
        Arc::new(totals.iter().map(|totals| Some(totals.lines)).collect::<Int64Array>()),
    ]
}

/// The day of a timestamp in microseconds, as days since 1970.
fn day_of_timestamp(time: i64) -> i32 {
    const DAY: i64 = 24 * 60 * 60 * 1_000_000;
    time.div_euclid(DAY) as i32
}

impl GroupsAccumulator for OrdersAccumulator {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let rows = Rows {
            groups: group_indices,
            filter: opt_filter,
            amounts: values[2].as_primitive(),
            lines: values.get(3).map(AsArray::as_primitive),
        };
        let times = &values[1];
        if let OrderIds::Strings(strings) = &mut self.ids {
            let ids = values[0].as_string_view();
            let number = |(row, id): (usize, Option<&str>)| {
                let id = id.filter(|_| passes(opt_filter, row));
                id.map(|id| strings.intern(id).map(u64::from)).transpose()
            };
            let numbers = ids.iter().enumerate().map(number).collect::<Result<Vec<_>>>()?;
            self.add_rows(&rows, |row| numbers[row], times)
        } else {
            let ids = values[0].as_primitive::<Int64Type>();
            let number = |row: usize| ids.is_valid(row).then(|| ids.value(row).cast_unsigned());
            self.add_rows(&rows, number, times)
        }
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let [first, last] = [0, 1].map(|column| values[column].as_primitive::<Date32Type>());
        let monetary = values[2].as_primitive::<Decimal128Type>();
        let lines = values[3].as_primitive::<Int64Type>();
        let orders = values[4].as_list::<i32>();
        let days = values[5].as_list::<i32>();
        let dates = days.values().as_primitive::<Date32Type>();
        for (row, &group) in group_indices.iter().enumerate() {
            let totals = &mut self.totals[group];
            totals.widen(
                first.is_valid(row).then(|| first.value(row)),
                last.is_valid(row).then(|| last.value(row)),
            );
            totals.add(monetary.value(row), lines.value(row))?;
            for index in list_range(orders, row) {
                let order = match &mut self.ids {
                    OrderIds::Integers => {
                        orders.values().as_primitive::<Int64Type>().value(index).cast_unsigned()
                    }
                    OrderIds::Strings(strings) => {
                        u64::from(strings.intern(orders.values().as_string::<i32>().value(index))?)
                    }
                };
                self.orders.insert(group, dated(order, None));
            }
            for index in list_range(days, row) {
                self.other_days.insert(group, dates.value(index));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = self.totals.len();
        let totals = emit_to.take_needed(&mut self.totals);
        let dated_orders = self.orders.take_with_repetitions(emit_to, groups);
        let other_days = self.other_days.take_with_repetitions(emit_to, groups);
        let (mut orders, mut days) = (Vec::with_capacity(totals.len()), Vec::with_capacity(totals.len()));
        for_each_group(&dated_orders, &other_days, |of_orders, of_days| {
            orders.push(distinct(of_orders));
            days.push(distinct(of_days));
        });
        let [first, last, monetary, lines] = columns_of(&totals);
        let [orders, days] = [orders, days].map(|counts| Arc::new(Int64Array::from(counts)) as ArrayRef);
        let columns = vec![first, last, orders, days, lines, monetary];
        Ok(Arc::new(StructArray::try_new(result_fields(), columns, None)?))
    }

    /// Orders and days are apart here, each ascending.
    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.totals.len();
        let totals = emit_to.take_needed(&mut self.totals);
        let dated_orders = self.orders.take(emit_to, groups);
        let other_days = self.other_days.take(emit_to, groups);
        let (mut orders, mut days) = (Sets::default(), Sets::default());
        for_each_group(&dated_orders, &other_days, |of_orders, of_days| {
            of_orders.dedup();
            orders.push(of_orders);
            of_days.sort_unstable();
            of_days.dedup();
            days.push(of_days);
        });
        let dates = Arc::new(Date32Array::from(days.values));
        let days = ListArray::try_new(days_field(), list_offsets(&days.offsets)?, dates, None)?;
        let field = orders_field(&self.ids.data_type());
        let ids = self.ids.ids(&orders.values)?;
        let orders = ListArray::try_new(field, list_offsets(&orders.offsets)?, ids, None)?;
        let [first, last, monetary, lines] = columns_of(&totals);
        Ok(vec![first, last, monetary, lines, Arc::new(orders), Arc::new(days)])
    }

    /// A state a row: as if each were a group of its own.
    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows: Vec<usize> = (0..values[0].len()).collect();
        let mut single = Self::new(values[0].data_type());
        single.update_batch(values, &rows, opt_filter, rows.len())?;
        single.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self.totals.capacity() * size_of::<Totals>()
            + self.ids.size()
            + self.orders.size()
            + self.other_days.size()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn distinct_values_are_counted_whether_few_or_many(mut values in prop::collection::vec(0u64..60, 0..3 * FEW)) {
            let expected = values.iter().collect::<BTreeSet<_>>().len() as i64;
            prop_assert_eq!(distinct(&mut values), expected);
        }
    }
}
