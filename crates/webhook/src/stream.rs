//! The table's stream: deliveries begin as soon as there is an outcome. It is only speed: what fails here, the sweep
//! does within a minute.

use crate::app::App;
use crate::deliver::Undelivered;
use crate::event::Change;
use aws::clock;
use futures::stream::{self, StreamExt};
use serde::Serialize;
use tokio::time::Instant;

/// Records that are worked on side by side; Lambda hands over no more than the template's `BatchSize`.
const AT_ONCE: usize = 10;

/// Which changes are to be handed over again; Lambda goes back to the first of them.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html>
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchAnswer {
    batch_item_failures: Vec<BatchItemFailure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchItemFailure {
    item_identifier: String,
}

/// Delivers what the changes brought. Those of which nobody knows whether they could be claimed are given back.
pub async fn take(app: &App, changes: Vec<Change>, deadline: Instant) -> BatchAnswer {
    let works = changes.into_iter().map(|change| async move {
        let Change { sequence_number, request_id, record } = change;
        let id = request_id?;
        match deliver(app, &id, record, deadline).await {
            Ok(()) => None,
            Err(error) => {
                let error = aws::telemetry::chain(&error);
                tracing::error!(requestID = id.as_str(), error, "the deliveries stay due");
                Some(BatchItemFailure { item_identifier: sequence_number })
            }
        }
    });
    let ends: Vec<_> = stream::iter(works).buffered(AT_ONCE).collect().await;
    BatchAnswer { batch_item_failures: ends.into_iter().flatten().collect() }
}

async fn deliver(
    app: &App,
    id: &model::id::RequestId,
    seen: Option<model::record::Record>,
    deadline: Instant,
) -> Result<(), Undelivered> {
    let record = match seen {
        Some(record) => Some(record),
        None => app.table.get(id, clock::now()).await?,
    };
    if let Some(record) = record {
        app.deliver(record, deadline).await?;
    }
    Ok(())
}
