//! `customer_orders(order_id, order_date, amount)`: a customer's orders in one pass: first and last date, how many
//! orders, on how many days, for how much.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Int64Array, ListArray,
    StringBuilder, StructArray,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Date32Type, Decimal128Type, Field, FieldRef, Fields};
use datafusion::common::{Result, exec_datafusion_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, DocSection, Documentation, EmitTo, GroupsAccumulator, Signature,
    Volatility,
};

use super::grouped_sets::{GroupedSets, Sets};
use super::interner::Interner;
use super::single_group::SingleGroup;
use super::{list_offsets, list_range, passes};

const MONEY: DataType = DataType::Decimal128(38, 4);

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "A customer's orders as a struct of first_order_date, last_order_date, orders (distinct order ids), \
         active_days (distinct dates) and monetary (the exact sum). A null argument adds nothing to its part: a \
         refund is (NULL, NULL, amount). Takes about 60 bytes of memory for each order, besides its id.",
        "customer_orders(order_id, order_date, amount)",
    )
    .with_argument("order_id", "The order a line belongs to, a string.")
    .with_argument("order_date", "Its date.")
    .with_argument("amount", "The line's money, decimal(38,4).")
    .with_sql_example(
        "SELECT customer_id, customer_orders(order_id, CAST(order_ts AS DATE), amount) FROM line GROUP BY customer_id",
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
        if arg_types.len() != 3 {
            return plan_err!(
                "customer_orders takes order_id, order_date and amount, not {} arguments",
                arg_types.len()
            );
        }
        Ok(vec![DataType::Utf8View, DataType::Date32, MONEY])
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
            field("orders", DataType::List(orders_field())),
            field("days", DataType::List(days_field())),
        ])
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let mut orders = OrdersAccumulator::default();
        orders.grow(1);
        Ok(Box::new(SingleGroup(orders)))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(OrdersAccumulator::default()))
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
        Field::new("monetary", MONEY, false),
    ])
}

fn orders_field() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Utf8, true))
}

fn days_field() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Date32, true))
}

/// For each group the dates' bounds, the sum, and the sets of orders and days.
///
/// Order ids are numbered once for all groups; ids of groups already emitted stay numbered until the end. Most lines
/// repeat what an earlier line of their order said: `latest` knows it and keeps them out of the sets.
#[derive(Debug, Default)]
struct OrdersAccumulator {
    first: Vec<Option<i32>>,
    last: Vec<Option<i32>>,
    monetary: Vec<i128>,
    order_ids: Interner,
    orders: GroupedSets,
    days: GroupedSets,
    /// For each order the group and day that were added with it last; none once groups have new numbers.
    latest: Vec<Option<(u32, i32)>>,
}

impl OrdersAccumulator {
    fn grow(&mut self, groups: usize) {
        self.first.resize(groups, None);
        self.last.resize(groups, None);
        self.monetary.resize(groups, 0);
    }

    fn add_amount(&mut self, group: usize, amount: i128) -> Result<()> {
        self.monetary[group] = self.monetary[group].checked_add(amount).ok_or_else(|| {
            exec_datafusion_err!("a customer's amounts add up to more than decimal(38,4) holds")
        })?;
        Ok(())
    }

    fn add_order(&mut self, group: usize, order_id: &str) -> Result<()> {
        let code = self.order_ids.intern(order_id)?;
        self.orders.insert(group, code);
        Ok(())
    }

    fn add_day(&mut self, group: usize, day: i32) {
        self.widen(group, Some(day), Some(day));
        self.days.insert(group, day_code(day));
    }

    fn add_order_on_day(&mut self, group: usize, order_id: &str, day: i32) -> Result<()> {
        let code = self.order_ids.intern(order_id)?;
        let place = code as usize;
        if place >= self.latest.len() {
            self.latest.resize(place + 1, None);
        }
        let now = Some((group as u32, day));
        if self.latest[place] != now {
            self.latest[place] = now;
            self.orders.insert(group, code);
            self.add_day(group, day);
        }
        Ok(())
    }

    fn widen(&mut self, group: usize, first: Option<i32>, last: Option<i32>) {
        // None is the least of all, so it needs no care for a maximum, and some for a minimum.
        self.first[group] = self.first[group].min(first).or(self.first[group]).or(first);
        self.last[group] = self.last[group].max(last);
    }

    /// The bounds and the sum of the groups to emit, then their sets of orders and of days.
    fn take(&mut self, emit_to: EmitTo) -> (Date32Array, Date32Array, Decimal128Array, Sets, Sets) {
        let groups = self.monetary.len();
        self.latest.clear();
        let monetary = Decimal128Array::from(emit_to.take_needed(&mut self.monetary)).with_data_type(MONEY);
        (
            Date32Array::from(emit_to.take_needed(&mut self.first)),
            Date32Array::from(emit_to.take_needed(&mut self.last)),
            monetary,
            self.orders.take(emit_to, groups),
            self.days.take(emit_to, groups),
        )
    }
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
        let order_ids = values[0].as_string_view();
        let dates = values[1].as_primitive::<Date32Type>();
        let amounts = values[2].as_primitive::<Decimal128Type>();
        for (row, &group) in group_indices.iter().enumerate() {
            if !passes(opt_filter, row) {
                continue;
            }
            match (order_ids.is_valid(row), dates.is_valid(row)) {
                (true, true) => self.add_order_on_day(group, order_ids.value(row), dates.value(row))?,
                (true, false) => self.add_order(group, order_ids.value(row))?,
                (false, true) => self.add_day(group, dates.value(row)),
                (false, false) => {}
            }
            if amounts.is_valid(row) {
                self.add_amount(group, amounts.value(row))?;
            }
        }
        Ok(())
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let first = values[0].as_primitive::<Date32Type>();
        let last = values[1].as_primitive::<Date32Type>();
        let monetary = values[2].as_primitive::<Decimal128Type>();
        let orders = values[3].as_list::<i32>();
        let order_ids = orders.values().as_string::<i32>();
        let days = values[4].as_list::<i32>();
        let dates = days.values().as_primitive::<Date32Type>();
        for (row, &group) in group_indices.iter().enumerate() {
            self.widen(
                group,
                first.is_valid(row).then(|| first.value(row)),
                last.is_valid(row).then(|| last.value(row)),
            );
            if monetary.is_valid(row) {
                self.add_amount(group, monetary.value(row))?;
            }
            for index in list_range(orders, row) {
                self.add_order(group, order_ids.value(index))?;
            }
            for index in list_range(days, row) {
                self.days.insert(group, day_code(dates.value(index)));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (first, last, monetary, orders, days) = self.take(emit_to);
        let count = |sets: &Sets| sets.lengths().map(|length| length as i64).collect::<Int64Array>();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(first),
            Arc::new(last),
            Arc::new(count(&orders)),
            Arc::new(count(&days)),
            Arc::new(monetary),
        ];
        Ok(Arc::new(StructArray::try_new(result_fields(), columns, None)?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (first, last, monetary, orders, days) = self.take(emit_to);
        let mut order_ids = StringBuilder::new();
        for code in &orders.values {
            order_ids.append_value(
                std::str::from_utf8(self.order_ids.get(*code))
                    .map_err(|error| exec_datafusion_err!("an order id is no longer UTF-8: {error}"))?,
            );
        }
        let dates: Date32Array = days.values.iter().map(|code| Some(day_of(*code))).collect();
        let orders = ListArray::try_new(
            orders_field(),
            list_offsets(&orders.offsets)?,
            Arc::new(order_ids.finish()),
            None,
        )?;
        let days = ListArray::try_new(days_field(), list_offsets(&days.offsets)?, Arc::new(dates), None)?;
        Ok(vec![Arc::new(first), Arc::new(last), Arc::new(monetary), Arc::new(orders), Arc::new(days)])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let order_ids = values[0].as_string_view();
        let dates = values[1].as_primitive::<Date32Type>();
        let amounts = values[2].as_primitive::<Decimal128Type>();
        let rows = 0..order_ids.len();
        let date = |row: usize| (dates.is_valid(row) && passes(opt_filter, row)).then(|| dates.value(row));
        let order =
            |row: usize| (order_ids.is_valid(row) && passes(opt_filter, row)).then(|| order_ids.value(row));
        let dates_or_null: Date32Array = rows.clone().map(date).collect();
        let monetary: Decimal128Array = rows
            .clone()
            .map(|row| (amounts.is_valid(row) && passes(opt_filter, row)).then(|| amounts.value(row)))
            .collect();

        let mut ids = StringBuilder::new();
        rows.clone().filter_map(order).for_each(|id| ids.append_value(id));
        let days: Date32Array = rows.clone().filter_map(date).map(Some).collect();
        let one_or_none = |present: &dyn Fn(usize) -> bool| {
            OffsetBuffer::from_lengths(rows.clone().map(|row| usize::from(present(row))))
        };
        let orders = ListArray::try_new(
            orders_field(),
            one_or_none(&|row| order(row).is_some()),
            Arc::new(ids.finish()),
            None,
        )?;
        let days =
            ListArray::try_new(days_field(), one_or_none(&|row| date(row).is_some()), Arc::new(days), None)?;
        Ok(vec![
            Arc::new(dates_or_null.clone()),
            Arc::new(dates_or_null),
            Arc::new(monetary.with_data_type(MONEY)),
            Arc::new(orders),
            Arc::new(days),
        ])
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + (self.first.capacity() + self.last.capacity()) * size_of::<Option<i32>>()
            + self.monetary.capacity() * size_of::<i128>()
            + self.order_ids.size()
            + self.orders.size()
            + self.days.size()
            + self.latest.capacity() * size_of::<Option<(u32, i32)>>()
    }
}

/// A date's number in a set, and back: the bits of its days since 1970.
fn day_code(date: i32) -> u32 {
    date.cast_unsigned()
}

fn day_of(code: u32) -> i32 {
    code.cast_signed()
}
