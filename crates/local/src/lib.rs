pub mod gateway;
pub mod hold;
pub mod lambda;
pub mod logrocket;
pub mod proxy;
mod serve;
pub mod stream;
pub mod table;
pub mod template;
