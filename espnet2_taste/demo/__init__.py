"""A page in the browser: see what TASTE takes from a sentence, change it, hear it.

:func:`espnet2_taste.demo.app.build` makes the page of a packed model. What computes
(``system``, ``continuing``, ``measures``) and what draws (``pictures``, ``chips``)
knows nothing of Gradio; ``app``, ``controls`` and ``tabs`` lay it out.
"""
