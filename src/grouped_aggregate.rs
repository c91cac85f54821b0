//! What the aggregates of a plan are given, batch by batch, and those that accumulate groups.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use datafusion::common::Result;
use datafusion::logical_expr::GroupsAccumulator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_plan::aggregates::AggregateExec;

/// An aggregate's accumulator of groups, and what it is given.
pub struct GroupedAggregate {
    given: Given,
    pub accumulator: Box<dyn GroupsAccumulator>,
}

impl GroupedAggregate {
    /// The aggregates of an aggregation, in their order.
    ///
    /// # Errors
    /// When one of them does not accumulate groups.
    pub fn all_of(aggregation: &AggregateExec) -> Result<Vec<Self>> {
        let functions = aggregation.aggr_expr().iter().zip(aggregation.filter_expr());
        let aggregates = functions.map(|(function, filter)| {
            let given = Given::to(function, filter.as_ref());
            Ok(Self { given, accumulator: function.create_groups_accumulator()? })
        });
        aggregates.collect()
    }

    /// Adds the rows of a batch to their groups.
    ///
    /// # Errors
    /// When they cannot be evaluated or added.
    pub fn update(&mut self, batch: &RecordBatch, group_of: &[usize], groups: usize) -> Result<()> {
        let (arguments, filter) = self.given.of(batch)?;
        self.accumulator.update_batch(&arguments, group_of, filter.as_ref(), groups)
    }

    /// The rows of a batch as states, as if each were a group of its own.
    ///
    /// # Errors
    /// When they cannot be evaluated, or the aggregate cannot do that.
    pub fn states_of(&mut self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let (arguments, filter) = self.given.of(batch)?;
        self.accumulator.convert_to_state(&arguments, filter.as_ref())
    }
}

/// The keys and the aggregates of an aggregation, as plans show them.
#[must_use]
pub fn keys_and_aggregates(aggregation: &AggregateExec) -> String {
    let keys: Vec<_> = aggregation.group_expr().expr().iter().map(|(_, name)| name.as_str()).collect();
    let aggregates: Vec<_> = aggregation.aggr_expr().iter().map(|aggregate| aggregate.name()).collect();
    format!("gby=[{}], aggr=[{}]", keys.join(", "), aggregates.join(", "))
}

/// What an aggregate is given.
pub struct Given {
    arguments: Vec<Argument>,
    filter: Option<Arc<dyn PhysicalExpr>>,
}

impl Given {
    #[must_use]
    pub fn to(function: &AggregateFunctionExpr, filter: Option<&Arc<dyn PhysicalExpr>>) -> Self {
        let arguments = function.expressions().into_iter();
        let arguments = arguments.map(|expression| Argument { expression, constant: None });
        Self { arguments: arguments.collect(), filter: filter.cloned() }
    }

    /// Of the rows of a batch the arguments, and which rows are let in where not all are.
    ///
    /// # Errors
    /// When one of them cannot be evaluated.
    pub fn of(&mut self, batch: &RecordBatch) -> Result<(Vec<ArrayRef>, Option<BooleanArray>)> {
        let arguments =
            self.arguments.iter_mut().map(|argument| argument.of(batch)).collect::<Result<_>>()?;
        let filter = self.filter.as_ref().map(|filter| values_of(filter, batch)).transpose()?;
        let filter = filter.map(|filter| filter.as_boolean().clone());
        Ok((arguments, filter.filter(|filter| filter.true_count() < batch.num_rows())))
    }
}

struct Argument {
    expression: Arc<dyn PhysicalExpr>,
    /// A literal's rows, as many as a batch had so far.
    constant: Option<ArrayRef>,
}

impl Argument {
    fn of(&mut self, batch: &RecordBatch) -> Result<ArrayRef> {
        if !self.expression.is::<Literal>() {
            return values_of(&self.expression, batch);
        }
        let constant = match self.constant.take().filter(|constant| constant.len() >= batch.num_rows()) {
            Some(constant) => constant,
            None => values_of(&self.expression, batch)?,
        };
        Ok(self.constant.insert(constant).slice(0, batch.num_rows()))
    }
}

/// What an expression is of each row of a batch.
///
/// # Errors
/// When it cannot be evaluated.
pub fn values_of(expression: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef> {
    expression.evaluate(batch)?.into_array(batch.num_rows())
}
