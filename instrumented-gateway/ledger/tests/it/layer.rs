//! The tower layer: one entry for each request, ended by whatever ends that, and no other byte on the wire.

mod endings;
mod stacks;
