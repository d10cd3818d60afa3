"""Models as a user would bring them: plain Keras, a file each, none knows this project.

| file | model | optimizer | what it brings |
| ---- | ----- | --------- | -------------- |
| `convnet.py` | convolutional network | Adam | dropout, softmax head |
| `mlp_batchnorm.py` | multilayer perceptron | Adam | batch normalization, columns of unlike scale |
| `resnet.py` | residual network | SGD with momentum | skips, average pooling "same" |
| `mobilenet.py` | inverted bottlenecks | RMSprop | depthwise and separable convolutions, silu |
| `transformer.py` | encoder | AdamW | attention without a mask, gelu, a layer of its own |
| `transformer_masked.py` | decoder | Adam | causal mask, padding, a loss at each position |
| `bilstm.py` | bidirectional LSTM | Adam | repeated tokens, sigmoid head |
| `gru_masked.py` | two GRU layers | Adam | padding, a mask between layers |
| `unet.py` | U-Net | Adam | group normalization, bilinear upsampling, a loss at each pixel |
| `autoencoder.py` | autoencoder | Adam | transposed convolutions, selu, models within a model |
| `regression.py` | regression | Adam | LeakyReLU, L2, Huber |
| `subclassed.py` | subclassed network | Adam | own layers, PReLU, unbuilt at first |
| `two_inputs.py` | recommender | Adam | dictionaries of two inputs and two outputs, loss weights |

Each file has `build()`, which returns a compiled model with fewer than 100,000 parameters, and
`data()`, which returns 832 examples `(x, y)`.
"""

# All but two_inputs, which is of no other kind and has several inputs.
NAMES = (
    *("convnet", "mlp_batchnorm", "resnet", "mobilenet", "transformer", "transformer_masked"),
    *("bilstm", "gru_masked", "unet", "autoencoder", "regression", "subclassed"),
)
