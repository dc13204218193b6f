//! The gRPC contract between edge and gateway. Generated code only: the words are explained in
//! `causeway/link/v1/link.proto`, the domain types are in `causeway_shared::link`.

/// The link between an edge and a gateway.
pub mod link {
    /// Version 1 of the link.
    pub mod v1 {
        #![allow(missing_docs)]
        tonic::include_proto!("causeway.link.v1");
    }
}
