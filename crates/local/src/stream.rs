//! Lambda's event source mapping of a DynamoDB stream.

mod filter;
mod mapping;

pub use filter::{Error as FilterError, Filter};
pub use mapping::{Error as MappingError, Mapping, Position};
