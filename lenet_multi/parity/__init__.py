"""Does the model train the same on each backend? A ladder of rungs gives the evidence.

| rung | what is compared | module |
|---|---|---|
| L0 structure | settings, weight tensors, initial weights, one batch: exact | `climb` |
| L1 forward | logits and loss: against NumPy in float64, and pairwise | `climb` |
| L2 gradient | each tensor's gradient: the same two ways | `climb` |
| L3 optimizer | 1, 2, 5 and 10 steps of SGD, momentum and Adam: the same two ways | `climb` |
| L4 trajectory | the loss at each step, the weights at some steps | `climb` |
| L5 outcome | first test metric over paired seeds: equivalence | `seeds`, `equivalence` |
| L6 portability | train on one backend, save, continue on another | `climb` |

Each backend climbs in its own processes (`children`) and leaves evidence on disk (`evidence`).
`ladder` compares it without Keras; `report` and `figure` show it. In float32, `twins` measures how
far rounding alone moves a training.
"""
