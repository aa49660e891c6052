//! Physical memory: page descriptors, segments, the buddy allocator and the per-processor caches.
