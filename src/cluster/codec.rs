//! How plans cross the wire: Ballista's codec, and our own operators beside it.

use std::fmt::Display;
use std::sync::Arc;

use ballista_core::serde::BallistaPhysicalExtensionCodec;
use datafusion::common::{DataFusionError, Result, internal_datafusion_err};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::PhysicalPlanNode;
use prost::Message;
use serde::{Deserialize, Serialize};

use super::write::{Target, WriteExec};
use crate::aggregate_in_parts::AggregateInPartsExec;
use crate::chunk::ChunkExec;

/// What an encoded operator of ours begins with; one of Ballista's never does.
const OURS: &[u8] = b"regulars:";

/// An operator of ours without its input.
#[derive(Serialize, Deserialize)]
enum Operator {
    Write(Target),
    Chunk,
    /// What is aggregated, over no rows: a plan as messages have it, in hexadecimal digits.
    AggregateInParts(String),
}

#[derive(Debug, Default)]
pub struct Codec(BallistaPhysicalExtensionCodec);

impl PhysicalExtensionCodec for Codec {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(encoded) = buf.strip_prefix(OURS) else {
            return self.0.try_decode(buf, inputs, ctx, converter);
        };
        let operator: Operator = serde_json::from_slice(encoded).map_err(undecodable)?;
        let [input] = inputs else {
            return Err(internal_datafusion_err!("an operator of ours has one input, not {}", inputs.len()));
        };
        let input = Arc::clone(input);
        Ok(match operator {
            Operator::Write(target) => Arc::new(WriteExec::try_new(input, target)?),
            Operator::Chunk => Arc::new(ChunkExec::new(input)),
            Operator::AggregateInParts(digits) => {
                let bytes = hex::decode(digits).map_err(undecodable)?;
                let plan = PhysicalPlanNode::decode(&bytes[..]).map_err(undecodable)?;
                let context = PhysicalPlanDecodeContext::new(ctx, self);
                let of_nothing = converter.proto_to_execution_plan(&plan, &context)?;
                Arc::new(AggregateInPartsExec::like(&of_nothing, input)?)
            }
        })
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let operator = if let Some(write) = node.downcast_ref::<WriteExec>() {
            Operator::Write(write.target().clone())
        } else if node.is::<ChunkExec>() {
            Operator::Chunk
        } else if let Some(in_parts) = node.downcast_ref::<AggregateInPartsExec>() {
            let plan = converter.execution_plan_to_proto(&in_parts.of_nothing()?, self)?;
            Operator::AggregateInParts(hex::encode(plan.encode_to_vec()))
        } else {
            return self.0.try_encode(node, buf, converter);
        };
        buf.extend_from_slice(OURS);
        serde_json::to_writer(buf, &operator)
            .map_err(|error| internal_datafusion_err!("an operator cannot be encoded: {error}"))
    }
}

fn undecodable(error: impl Display) -> DataFusionError {
    internal_datafusion_err!("an operator cannot be decoded: {error}")
}
