"""Does the model train the same on each backend? A ladder of rungs, each with its evidence.

| rung | what is compared | module |
|---|---|---|
| L0 structure | settings, weight tensors, initial weights, the batch itself: exact | `climb` |
| L1 forward | logits and loss, against NumPy in float64 and pairwise | `climb` |
| L2 gradient | each tensor's gradient, likewise | `climb` |
| L3 optimizer | 1, 2, 5 and 10 steps of SGD, momentum and Adam, likewise | `climb` |
| L4 trajectory | loss at each step, weights at some | `climb` |
| L5 outcome | test accuracy over paired seeds: equivalence | `seeds`, `equivalence` |
| L6 portability | train on one, save, go on with another | `climb` |

Each backend climbs in processes of its own (`children`) and leaves evidence on disk
(`evidence`); `ladder` compares it without Keras, `report` and `figure` show it. In float32 `twins`
tells how far rounding alone takes a training.
"""
