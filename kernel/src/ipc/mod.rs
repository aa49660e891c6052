//! What processes share by number instead of by name: System V's [`shm`]. (Its queues and semaphores are not
//! here.)

pub mod shm;
