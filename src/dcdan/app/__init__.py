"""The local web page of `dcdan app`: try a model, label faces, adapt, compare; no torch.

``server`` starts it, ``security`` guards it, ``context`` is what all views share, ``events`` sends changes to every
browser. Each view is one module with its routes: ``try_view``, ``label_view``, ``adapt_view``, ``compare_view``.
``label_session``, ``thumbnails``, ``adaptation_job`` (with its process ``adaptation_process``) and ``comparison`` do
the work and know no HTTP. ``templates`` are Jinja2 pages, ``static`` plain JavaScript modules.
"""
