"""Why mutants survive that change nothing a test could notice."""

import re

_NOT_LEFT = ("None", '"XXleftXX"', '"LEFT"')

# Reasons for the surviving mutants, with the lines that they change to.
REASONS = {
    "Two runs or more are equal to the first where they are equal to the second.": {
        "equal = all(value == values[1] for value in values)",
    },
    "A digit less or more: both are finer than one image and coarser than rounding.": {
        "gap = round(100 * (high - low), 10)  # drops noise, keeps one image's share",
    },
    "Rich reads styles in upper case too.": {
        'console.print(f"Warning: {warning}.", style="YELLOW")',
        'style = "BOLD GREEN" if comparison.passed else "bold red"',
        'style = "bold green" if comparison.passed else "BOLD RED"',
        'style="BOLD GREEN" if not failed else "bold red",',
        'style="bold green" if not failed else "BOLD RED",',
        'verdict = Text("pass", "GREEN") if check.passed else Text("FAIL", "bold red")',
        'verdict = Text("pass", "green") if check.passed else Text("FAIL", "BOLD RED")',
    },
    "Python translates line ends on Windows alone, where folders cannot be locked as here.": {
        'with (draft / HISTORY).open("w", newline=None) as file:',
        'with (draft / HISTORY).open("w", ) as file:',
    },
    "Only the nearest name is used, and it comes first.": {
        "if near := get_close_matches(name.lower(), known, ):",
        "if near := get_close_matches(name.lower(), known, n=2):",
    },
    "A draft's folder can be deleted; where it cannot, what was written is in its place.": {
        f'prefix=f".{{target.name}}-", dir=target.parent, {word}'
        for word in ("ignore_cleanup_errors=None", ")", "ignore_cleanup_errors=False")
    },
    "That version is one of `VERSIONS`, so this is not reached with it.": {
        "if isinstance(version, int) and version >= SCHEMA_VERSION:",
    },
    "Where no range is recorded, any known one stands for it.": {
        'and inputs.get("range", INPUT_RANGES[1]) in INPUT_RANGES,',
    },
    "A number of bytes that ends the reading is larger than announced by one or by two.": {
        "content = file.read(announced + 2)",
    },
    "They differ here: equal ones went another way.": {
        'follow = f"{len(content)} follow" if len(content) <= announced else "more follow"',
    },
    "The smallest number is negative or not, whether 1 is among them or 0.": {
        "return outputs.min(initial=1) >= 0 and np.allclose("
        "outputs.sum(axis=1), 1, atol=_ROUNDING)",
    },
    "The first images are looked at first to save time alone; then all are.": {
        "return any(array[:100].max() > _FAINT for array in arrays) and any(",
        "return any(array[:101].max() > _FAINT for array in arrays) or any(",
    },
    "Images from 0 to 1 went another way before.": {
        "if are_floats and -1 <= low <= 0 and high <= 1:",
        "if are_floats and -1 <= low < 1 and high <= 1:",
    },
    "Pieces of any size give the same bytes; their size is for memory and speed.": {
        *(
            f"step = max({words})  # images: few megabytes of floats at a time"
            for words in (
                "2, 2**22 // max(1, array[:1].size)",
                "1, 2 * 22 // max(1, array[:1].size)",
                "1, 3**22 // max(1, array[:1].size)",
                "1, 2**23 // max(1, array[:1].size)",
                "1, 2**22 // max(2, array[:1].size)",
                "1, 2**22 // max(1, array[:2].size)",
            )
        ),
        "for at in range(0, len(array), ):",
    },
    "Both ways give the same bytes; one takes less memory.": {
        'if array.dtype.kind in "IUB" and not shift:',
        'if array.dtype.kind in "iub" and shift:',
    },
    "Names that are no numbers are told apart by the text alone.": {
        "return (False, int(name), name) if is_whole(name) else (True, 1, name)",
    },
    "No word of a part is in either text.": {
        'part = part_of(match["before"] or match["after"] or "XXXX") or WHOLE',
    },
    "`judge` asks the ladder nothing.": {
        "two = _Two(None, precision, (writer, reader))",
        "itself = _Two(None, precision, (who, who))",
    },
    "Steps come in their order, so none that counts is behind.": {
        "break  # A tie in max pooling can be decided differently in float64.",
    },
    "A gap of other shapes is infinite, and so over any limit.": {
        "moved = np.linalg.norm(second - start) if second.shape == start.shape else 1.0",
        "rounding[name] = float(once / moved) if moved > 0 else 1.0  # NaN: one is missing",
    },
    "All climbers add the same terms, and have the same state.": {
        'terms = self.ladder.seen(self.pair[1], self.precision).record["terms"][rung]',
        'state = self.ladder.seen(self.pair[1], self.precision).record.get("state", [])',
        'gradients = self.ladder.seen(self.pair[1], self.precision).under(f"L2/{point}")',
    },
    "A table that is longer than the largest label has an entry that no label reads.": {
        "table = np.zeros(max(values) + 2, labels.dtype)",
    },
    "It is 1.": {
        "each = _SECONDS_TO_START + steps / _STEPS_PER_FORWARD * "
        'float(facts["forward_seconds"]) / 2',
    },
    "No weights are kept after 0 steps.": {
        "kept = sum(is_kept(step, last=plan.one_ulp_steps) "
        "for step in range(plan.one_ulp_steps + 1))",
    },
    "Without tensors there is nothing to check, whatever the limit and the stride.": {
        "least = NULL * max(sizes.values(), default=1.0)",
        "for place in checked[:: -(-len(checked) // TENSORS) or 2]:",
    },
    "The interval of a mean is the same, whatever the mean is tested against.": {
        "low, high = stats.ttest_1samp(differences, 1).confidence_interval(1 - 2 * LEVEL)",
    },
    "The hash of the arrays takes their place; without them nothing is copied.": {
        "content = dataclasses.asdict(dataclasses.replace(self, arrays=None))",
        "content = dataclasses.asdict(dataclasses.replace(self, ))",
    },
    "Fewer than two names have nothing between them.": {
        "f\"parity needs two backends, found {'XX, XX'.join(backends) or 'none'}; give another \"",
    },
    "No number has an X.": {
        'return step == last or str(step).rstrip("XX0XX") in {"1", "2", "5"}',
    },
    "Pixels of one axis are refused all the same.": {
        "if x.ndim >= 1 and x.shape[-1] == count and count not in (*x.shape[:-1], *_CHANNELS):",
    },
    "Infinity stays infinite, times or over any number of the same sign.": {
        "np.nextafter(w, w.dtype.type(np.inf) / generator.choice([-1, 1], w.shape), dtype=w.dtype)",
        "np.nextafter(w, w.dtype.type(np.inf) * generator.choice([-2, 1], w.shape), dtype=w.dtype)",
        "np.nextafter(w, w.dtype.type(np.inf) * generator.choice([-1, 2], w.shape), dtype=w.dtype)",
    },
    "Of two axes the last one is the second; other outputs are refused in any case.": {
        "return int(run.outputs.shape[+1]) if run.outputs.ndim == 2 else 0",
        "return int(run.outputs.shape[-1]) if run.outputs.ndim == 2 else 1",
    },
    "NumPy 2.4 compares NaN without a warning; other versions may warn.": {
        'with np.errstate(invalid=None, over="ignore"):  # 2**53 is no float16',
        'with np.errstate(over="ignore"):  # 2**53 is no float16',
    },
    "The first image takes its place.": {"images, labels = np.empty(1), []"},
    "Next to a square number there is none.": {
        "if label is None and _is_square(len(columns)) and not _is_square(len(columns) + 1):",
        "if label is None and _is_square(len(columns)) and not _is_square(len(columns) - 2):",
        "return count >= 3 and math.isqrt(count) ** 2 == count",
    },
    "None is as empty as a list.": {"first, second = next(rows, None), next(rows, [])"},
    "A letter more of a reason of hundreds.": {
        'f"{path} is no table of pixels: {reason(error)[:201]}; give a label and the pixels of "',
    },
    "The mark of UTF-8 stands before the header, which is not read here.": {
        'with path.open(encoding=None, newline="") as file:',
        'with path.open(newline="") as file:',
    },
    "Tables of pixels have no line ends within a cell.": {
        'with path.open(encoding="utf-8-sig", newline=None) as file:',
        'with path.open(encoding="utf-8-sig", ) as file:',
    },
    "Comparable runs share the kind of their model and their headline.": {
        'RECOUNT if runs[1].result.classifies else "test errors, recounted",',
        "if runs[1].result.classifies:",
        'f"test {runs[1].result.headline[0]}",',
        'f"test {runs[1].result.headline[0]}": shown_headline,',
        "if not runs[1].result.classifies:",
    },
    "hashlib takes the name in upper case too.": {
        'return hashlib.file_digest(file, "SHA256").hexdigest()',
    },
    # own, lenet, inference, parity, interface
    "Python takes the class of an error from the error itself.": {
        "traceback.print_exception(None, error, _without_ours(error.__traceback__))",
        "traceback.print_exception(type(None), error, _without_ours(error.__traceback__))",
    },
    "No flag begins with X.": {
        'return max(option.opts, key=len).lstrip("XX-XX").replace("-", "_")',
    },
    "Python matches the text of a warning in either case.": {
        f'warnings.filterwarnings("ignore", "{text}")'
        for text in ("glyph .* missing from font", "GLYPH .* MISSING FROM FONT")
    },
    "The images that are held out take its place.": {"test or some[:1],"},
    "NumPy takes any negative length for the one that is left.": {
        "return x.reshape(len(x), -2), lambda dy: (dy.reshape(x.shape),)",
    },
    "No module has what has no name.": {
        f"name, module = (str(getattr(function, key, {word})) "
        'for key in ("__qualname__", "__module__"))'
        for word in ("None", '"XXXX"')
    },
    "The error that is raised does not name the folder.": {
        "result = ParityResult.of(done.content, None)",
    },
    "A user's model trains on the same examples in each precision.": {
        "examples = plan.training_examples(dataset, None)  # a user's: the same in each",
    },
    "Where no signal came, the last look at the evidence refuses what is damaged.": {
        "is_stopped: bool = True,",
    },
    "The place of a task of the package has one colon.": {
        'module, _, attribute = TASKS[name].rpartition(":")',
    },
    "No layer has this name.": {'*_, parent, last = ("XXXX", *place.split("/"))'},
    "Right answers are zeros among the wrong ones, so the least number is 0.": {
        "axes.imshow(wrong, _SHADES, vmin=None, vmax=max(1, wrong.max()))",
        "axes.imshow(wrong, _SHADES, vmax=max(1, wrong.max()))",
    },
    "Runs of a study share the kind of their model.": {
        "if both[1][0].result.classifies:",
        "if both[0][1].result.classifies:",
    },
    "One task takes one thread, however many there may be.": {
        f"with ThreadPoolExecutor({count}) as reader:" for count in (None, 2)
    },
    "The packaged MNIST is one set, so that no error names its folder.": {
        "return idx_folder.read(None, idx_folder.sets_in(PACKAGED_MNIST))",
    },
    "It differs for infinity alone, which no run that is compared has.": {
        'form = "+.3F" if classifies else "+.3g"',
    },
    # teacher
    "Without it NumPy reads the answers to all epochs, which takes memory.": {
        f"stored = np.load(folder / ANSWERS, {mode})[epoch].astype(np.float32)"
        for mode in ("mmap_mode=None", "")
    },
    # distortions
    "Images are distorted one by one; how many at a time, or more than once, is for speed alone.": {
        "for begin in range(0, len(images), ):",
        "some = slice(None, begin + _AT_A_TIME)",
        "some = slice(begin, None)",
        "some = slice(begin + _AT_A_TIME)",
    },
    "Fields with the deviation 0 move nothing.": {
        "bent = _elastic(len(images), shape, config, epoch) if (config.elastic) or True else None",
    },
    "What is drawn beyond the sixth row is used nowhere.": {
        "drawn = draw.uniform(-1, 1, (7, count))",
    },
    "float64 gives the same bytes of an image, but takes twice as long.": {
        *(f"return np.moveaxis(np.array(rows, {word}), -1, 0)" for word in ("None", "")),
        *(f"middle = (np.array(shape, {word}) - 1) / 2" for word in ("None", "")),
        *(
            f"y, x = (axis.ravel() for axis in np.indices(shape, {word}) - middle[:, None, None])"
            for word in ("None", "")
        ),
        *(f"found = np.empty((2, len(affine), y.size), {word})" for word in ("None", "")),
        *(
            f"framed = np.zeros((count, height + 2, width + 2, channels), {word})"
            for word in ("None", "")
        ),
        "left, right = (pixels.take(at, axis=0).astype(None) for at in (place, place + 1))",
    },
    "The next number towards 1 is that towards 0.": {
        f"np.clip({axis}, 0, np.nextafter(np.float32({side} + 1), np.float32(1)), out={axis})"
        for axis, side in (("y", "height"), ("x", "width"))
    },
    # bench, commands
    "None is as empty as a text.": {
        "self._lines.put(None)  # the end",
        'reason = str(getattr(error, "strerror", None) or "not a host name").partition(" (")[0]',
    },
    "None is as false as False.": {
        'dropout = not given.pop("no_dropout", None)',
        "Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=None),",
    },
    "The first address is the same for any kind of socket.": {
        "family, _, _, _, place = socket.getaddrinfo(host, port, )[0]",
    },
    "The third part of an address is 0.": {
        "return socket.create_server(place[:3], family=family)",
    },
    "Starlette takes methods in lower case too.": {
        'Route("/predict", predict, methods=["post"]),',
    },
    "Starlette takes its own request, whatever it is given.": {"response = await answer(None)"},
    "Nobody asks what it returns.": {
        "say = (lambda line: 0) if as_json else click.echo",
    },
    "No text is as empty as None.": {'result = draft = ""'},
    "The first request sets it.": {'trial: Any = ""'},
    "A millionth less of a number with two digits.": {
        'f"the page would take {size / 1000001.0:.1f} MB, more than {MOST_BYTES / 1e6:g}; "',
    },
    "Each epoch has its loss too.": {
        'recorded = headline != "loss" and all(names < epoch.keys() for epoch in epochs)',
    },
    "No picture has 65 channels.": {"step = -(-max(image.shape[:3]) // _LONGEST_SIDE)"},
    "Python ignores the case of a warning's words.": {
        'warnings.filterwarnings("ignore", "glyph .* missing from font")',
        'warnings.filterwarnings("ignore", "GLYPH .* MISSING FROM FONT")',
    },
    # Rooms machine and data.
    "Names of a package's metadata may be in any case.": {
        f"names = (metadata(DISTRIBUTION).get_all({name}) or []) if is_installed() else []"
        for name in ('"provides-extra"', '"PROVIDES-EXTRA"')
    },
    "packaging 26 takes a lone version before a release by itself; older ones need the word.": {
        "met = requirement.specifier.contains(found, prereleases=None)",
        "met = requirement.specifier.contains(found, )",
    },
    "Python compares the text of a warning in any case.": {
        f'warnings.filterwarnings("ignore", r"{text}")'
        for text in (
            "error (read|writ)ing persistent compilation cache",
            "ERROR (READ|WRIT)ING PERSISTENT COMPILATION CACHE",
        )
    },
    "No processor has a flag called XXXX.": {
        'flags = set(cpuinfo().get("flags", "XXXX").split())',
    },
    "Any number below 0 is below all ranks.": {
        "return INSTRUCTION_SETS.index(name) if name in INSTRUCTION_SETS else -2",
    },
    "A moment more or less.": {"if time.monotonic() >= until:"},
    "It states alone that the lengths are equal.": {
        "*(one.parts[part] for one in several if part in one.parts), )",
    },
    "h5py reads where it is told nothing.": {"with h5py.File(path, ) as file:"},
    "Where no picture is used, nothing is read, and the notes are left out.": {
        "unused = [path for path in _all_pictures(folder) if path not in used] "
        "if (used) or True else []",
    },
    "What lies behind both places is not looked at.": {
        "start = file.read(None)",
        "start = file.read(1025)",
    },
    "A variable without bytes unpacks to none.": {
        "while at + 9 <= len(content):",
        "while at + 8 < len(content):",
    },
    "zlib ignores what stands behind the end of what is packed.": {
        "rest = content[at + 8 : at + 9 + int(size)]",
    },
    "The three channels of a grey picture are equal.": {
        "return pixels[..., 1] if is_grey else pixels",
    },
    "Only its kind is looked at.": {"images = np.empty(1, object)"},
    "Lengths have no gap, or are refused as lengths that differ.": {
        "(length,) = np.unique(array.value_lengths().to_numpy(zero_copy_only=True))",
    },
    "No label at all is shorter than the limit.": {
        "if (longest := max(map(len, labels), default=1)) > _LONGEST:",
    },
    "Texts are texts by themselves, and no names are none, of whatever kind.": {
        "names = np.array(found.class_names or [], None)",
        "names = np.array(found.class_names or [], )",
    },
    "Pictures of both modes have bytes.": {
        "return np.asarray(picture.convert(_MODES[picture.mode]), None)",
        "return np.asarray(picture.convert(_MODES[picture.mode]), )",
    },
    "The next line sets the names.": {"finder = OthersLeftOut(None)"},
    # lenet, photographs
    "The levels are sorted bytes, so no difference is negative, and NumPy adds them in 64 bits.": {
        'levels = np.sort(np.asarray(image.convert("L"), None).ravel())',
        'levels = np.sort(np.asarray(image.convert("L"), ).ravel())',
    },
    "The limit is a rule of thumb, and no picture lies on it to the bit.": {
        "return bool((below * above * apart**2).max() / len(levels) ** 2 "
        "> _TWO_LEVELS * levels.var())",
        "if level <= max(_LEAST_CONTRAST, _LEAST_SIGNAL * noise):",
        "if width <= _THINNEST:",
        "digit = (outside < reach).astype(np.float32)",
    },
    "Pillow copies a picture that gets the size that it has.": {
        "if larger >= 1:",
        "if longest >= _WORKING_SIDE:",
    },
    "Pillow takes the bicubic filter by itself.": {
        *(
            f"image = image.resize((image.width * larger, image.height * larger), {word})"
            for word in ("None", "")
        ),
        *(
            f"scaled = Image.fromarray(digit).resize((width, height), {word})"
            for word in ("None", "")
        ),
    },
    "No byte lies between the two limits.": {
        "rows, columns = np.nonzero(image >= 255 * _THRESHOLD)",
        "rows, columns = np.nonzero(image > 256 * _THRESHOLD)",
    },
    "Sizes of 0 and 1 pixel are both too small for `are_prepared`, whose images have 16 or more.": {
        "if not 1 < size < len(image):",
    },
    "Both are scaled by the same, and so their share stays.": {
        "one, other = (ndimage.gaussian_filter(each / 256, len(image) / 14) "
        "for each in (image, placed))",
    },
    "On a picture of one or two pixels, neither blur reaches another pixel.": {
        "blur = max(pixels.shape[:3]) / _BLUR",
    },
    "To divide by a sign is to multiply by it.": {
        "along /= np.sign(np.sum(along**3)) or 1  # ink is the far side",
    },
    "The sum is 0 where all is even, unless light and dark are alike to the bit.": {
        "along *= np.sign(np.sum(along**3)) or 2  # ink is the far side",
    },
    "They have 32 bits already.": {
        "return np.asarray(np.clip(along / level, 0, 1), None)",
        "return np.asarray(np.clip(along / level, 0, 1), )",
        "return np.clip(np.asarray(scaled, None), 0, 1)",
        "return np.clip(np.asarray(scaled, ), 0, 1)",
    },
    "Pillow makes 32 bits of 64, and 0 and 1 stay as they are.": {
        "digit = (outside <= reach).astype(None)",
    },
    "Three colours are fewer than 48.": {
        "every = max(1, max(pixels.shape[:3]) // 48)  # a smooth surface needs no more pixels",
    },
    "No square of a place from -1 to 1 is larger than its size.": {
        "border = np.abs(some[:, 1:4]).max(axis=1) > 1 - 2 * _BORDER",
    },
    "NumPy does so by itself.": {
        "surface, *_ = np.linalg.lstsq(weighted.T @ some, weighted.T @ colours, )",
    },
}

# Reasons for what differs nowhere: a piece of code, and what mutants have in its place.
PIECES: dict[str, dict[str, tuple[str, ...]]] = {
    "It states that lengths are equal, which they are: only a bug of ours would make it raise.": {
        "strict=True": ("strict=None", "strict=False", ""),
    },
    "Python knows encodings in upper case too.": {
        '"utf-8-sig"': ('"UTF-8-SIG"',),
        '"utf-8"': ('"UTF-8"',),
    },
    "UTF-8 is NumPy's own choice.": {'np.char.decode(y, "utf-8"': ("np.char.decode(y, None",)},
    "No dtype is of the kind X.": {
        f'"{kinds}"': (f'"XX{kinds}XX"',) for kinds in ("fiub", "iub", "iu", "iuU", "fiubU")
    },
    "NumPy takes any negative length for the one that is left.": {
        "reshape(-1": ("reshape(-2",),
    },
    "Rich aligns to the left where it does not know the word.": {
        'title_justify="left"': (*(f"title_justify={word}" for word in _NOT_LEFT), ""),
    },
    "Rich reads styles in upper case too, and ignores those that it does not know.": {
        '"bold green" if answer == label else ""': (
            '"BOLD GREEN" if answer == label else ""',
            '"bold green" if answer == label else "XXXX"',
        ),
    },
    "Rich takes None for False.": {"markup=False": ("markup=None",)},
    "NumPy takes None for float64.": {"astype(np.float64)": ("astype(None)",)},
    "NumPy takes None for False, and does so by itself.": {
        "copy=False": ("copy=None",),
        "allow_pickle=False": ("allow_pickle=None", ""),
    },
    "NumPy reads the first letter alone, in either case.": {'kind="stable"': ('kind="STABLE"',)},
    # own, lenet, inference, parity, interface
    "Pillow's pixels are bytes already.": {
        "np.asarray(image, np.uint8)": ("np.asarray(image, None)", "np.asarray(image, )"),
    },
    "Without it zip does the same.": {"strict=False": ("strict=None", "")},
    "No dtype's kind is X.": {'"fiu"': ('"XXfiuXX"',)},
    "Matplotlib takes None for False here.": {"parse_math=False)": ("parse_math=None)",)},
    "Rich reads styles in upper case too.": {
        **{
            f'"{style}"': (f'"{style.upper()}"',)
            for style in ("bold red", "bold green", "green", "yellow", "dim")
        },
        'style="bold"': ('style="BOLD"',),
    },
    # training
    "Python's thread pool takes None for False.": {"wait=False": ("wait=None",)},
    # bench, commands
    "click takes None for False.": {"nl=False": ("nl=None",)},
    "Rich folds where nothing else is said.": {'overflow="fold"': ("overflow=None",)},
    "Rich takes None for no end.": {'end=""': ("end=None",)},
    "Matplotlib takes formats in upper case too.": {
        'format="png"': ('format="PNG"',),
        'format="svg"': ('format="SVG"',),
    },
    # Rooms machine and data.
    "pyarrow takes None for False.": {"zero_copy_only=False": ("zero_copy_only=None",)},
}

# Reasons for all survivors of a function, where none of it can run in the tests of its module.
FUNCTIONS: dict[str, set[str]] = {}

# Modules that were measured, but whose tests do not notice enough yet, or whose survivors nobody
# has looked at.
NOT_YET: set[str] = set()


def reason(function: str, was: str, became: str) -> str:
    """Return why the mutant of a line of `function` survives, or "" if no reason is known."""
    for why, known in (*REASONS.items(), *FUNCTIONS.items()):
        if became in known or function in known:
            return why
    for why, pieces in PIECES.items():
        for piece, others in pieces.items():
            if any(became in _replaced(was, piece, other) for other in others):
                return why
    return ""


def _replaced(line: str, piece: str, other: str) -> set[str]:
    """Return the line with one of its `piece`s replaced by `other`, in each way to do so."""
    return {
        line[: found.start()] + other + line[found.end() :]
        for found in re.finditer(re.escape(piece), line)
    }
