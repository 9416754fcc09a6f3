"""What a training cannot be made of, said before it begins."""

from __future__ import annotations

import argparse

from demo_training.above import of_sort

from clip4dm.errors import InputError


def check_options(args: argparse.Namespace) -> None:
    """Options of train_demo_model.py that do not go together. Errors: InputError, one line."""
    if not 2 <= args.batch_size <= args.scenes:
        raise InputError(
            f"--batch_size {args.batch_size}: a batch is of different scenes, at least 2 and at most --scenes, "
            f"{args.scenes}"
        )
    if args.image_size < 32 or args.image_size % 32 == 31:  # 31 more: halving rounds up first, the pooling does not
        raise InputError(
            f"--image_size {args.image_size}: the ResNet halves a picture five times; take 32 or a multiple of it"
        )
    heads = args.image_width // 2
    if not heads or 32 * args.image_width % heads:
        raise InputError(
            f"--image_width {args.image_width}: the ResNet has half as many heads, which must divide 32 times "
            "the width; take an even number"
        )
    if args.text_width % args.text_heads:
        raise InputError(f"--text_heads {args.text_heads} must divide --text_width, {args.text_width}")
    if args.image_tower and (args.begin or args.above_steps):
        raise InputError("--image_tower takes an image tower as it is; --begin and --above_steps are for training it")
    for name in ("begin", "image_tower"):
        folder = getattr(args, name)
        if folder and not folder.is_dir():  # said before the folder to work in has settings that name it
            raise InputError(f"--{name} {folder}: there is no such folder")
    if args.alone_last is not None and args.text_steps == 1:
        raise InputError("--alone_last wants more than one of --text_steps to get there")
    if args.stacked:
        stacked, many = len(of_sort(args.scenes, True)), round(args.stacked * args.batch_size)
        if not many:
            raise InputError(f"--stacked {args.stacked:g} is less than one of a batch's {args.batch_size} scenes")
        for what, there, wanted in (
            ("have one of two things above the other", stacked, many),
            ("have not", args.scenes - stacked, args.batch_size - many),
        ):
            if wanted > there:
                raise InputError(
                    f"--stacked {args.stacked:g}: {there} of {args.scenes} scenes {what}, a batch would hold {wanted}"
                )
