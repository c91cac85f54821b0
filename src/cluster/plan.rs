//! What makes a session's plans run on a cluster: they are planned here and handed over as they are.

use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, SendableRecordBatchStream,
    replace_children_if_necessary,
};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use futures::TryStreamExt;

use super::Cluster;

/// Plans as the embedded engine does, and has the cluster run what reads much.
#[derive(Debug)]
pub struct Planner(pub Arc<Cluster>);

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        logical: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = DefaultPhysicalPlanner::default().create_physical_plan(logical, session).await?;
        Ok(match reads(&plan) {
            Some(Reads { files: true, bytes })
                if bytes > self.0.local_limit() || self.0.local_limit() == 0 =>
            {
                Arc::new(OnCluster::new(Arc::clone(&self.0), plan))
            }
            _ => plan,
        })
    }
}

/// What the leaves of a plan read.
#[derive(Debug, Clone, Copy, Default)]
struct Reads {
    files: bool,
    bytes: u64,
}

/// None where a leaf is of a kind that belongs to this session, as an explanation does.
fn reads(plan: &Arc<dyn ExecutionPlan>) -> Option<Reads> {
    let children = plan.children();
    if !children.is_empty() {
        let read = children.into_iter().map(reads);
        return read.reduce(|all, next| {
            let (all, next) = (all?, next?);
            Some(Reads { files: all.files || next.files, bytes: all.bytes.saturating_add(next.bytes) })
        })?;
    }
    if plan.is::<EmptyExec>() || plan.is::<PlaceholderRowExec>() {
        return Some(Reads::default());
    }
    let source = plan.downcast_ref::<DataSourceExec>()?.data_source();
    if let Some(scan) = source.downcast_ref::<FileScanConfig>() {
        let files = scan.file_groups.iter().flat_map(FileGroup::files);
        let bytes = files.map(|file| {
            file.range.as_ref().map_or(file.object_meta.size, |range| (range.end - range.start) as u64)
        });
        return Some(Reads { files: true, bytes: bytes.sum() });
    }
    let memory = source.downcast_ref::<MemorySourceConfig>()?;
    let batches = memory.partitions().iter().flatten();
    Some(Reads { files: false, bytes: batches.map(|batch| batch.get_array_memory_size() as u64).sum() })
}

/// A plan that runs on the cluster, and gives its rows as one partition.
#[derive(Debug)]
pub struct OnCluster {
    cluster: Arc<Cluster>,
    plan: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    /// Where it is asked for: what the operators measured.
    measured: Arc<OnceLock<String>>,
}

impl OnCluster {
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, plan: Arc<dyn ExecutionPlan>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(plan.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self { cluster, plan, properties: Arc::new(properties), measured: Arc::default() }
    }

    /// The plan without what would bring all of its rows to one task at the end.
    ///
    /// # Errors
    /// When an operator does not take another input.
    pub fn side_by_side(&self) -> Result<Arc<dyn ExecutionPlan>> {
        without_merge(&self.plan)
    }

    /// Another plan on the same cluster, which tells what it measured as this one's.
    #[must_use]
    pub fn instead(&self, plan: Arc<dyn ExecutionPlan>) -> Self {
        Self { measured: Arc::clone(&self.measured), ..Self::new(Arc::clone(&self.cluster), plan) }
    }

    #[must_use]
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }
}

fn without_merge(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let is_merge = plan.is::<SortPreservingMergeExec>() || plan.is::<CoalescePartitionsExec>();
    match plan.children().as_slice() {
        [input] if is_merge && plan.fetch().is_none() => Ok(Arc::clone(input)),
        [input] if plan.is::<ProjectionExec>() => {
            replace_children_if_necessary(Arc::clone(plan), vec![without_merge(input)?])
        }
        _ => Ok(Arc::clone(plan)),
    }
}

impl DisplayAs for OnCluster {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("OnCluster")?;
        match self.measured.get() {
            Some(measured) => write!(f, "\n{measured}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for OnCluster {
    fn name(&self) -> &'static str {
        "OnCluster"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        // the operators as they ran say more than those that were planned
        if self.measured.get().is_some() { Vec::new() } else { vec![&self.plan] }
    }

    fn apply_expressions(
        &self,
        _apply: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(children.pop().map_or(Arc::clone(&self) as _, |plan| Arc::new(self.instead(plan)) as _))
    }

    fn partition_statistics(&self, _partition: Option<usize>) -> Result<Arc<Statistics>> {
        Ok(Arc::new(Statistics::new_unknown(&self.schema())))
    }

    fn execute(&self, _partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (cluster, plan, measured) =
            (Arc::clone(&self.cluster), Arc::clone(&self.plan), Arc::clone(&self.measured));
        let rows = async move {
            cluster.run(plan, context.session_config(), &measured).await.map_err(DataFusionError::from)
        };
        let rows = futures::stream::once(rows).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
