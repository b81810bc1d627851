//! Process shell around the queue: one supervised worker per lane and the sweep.
