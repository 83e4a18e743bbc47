//! Resident models and the step loop; submit, cancel, watch.
