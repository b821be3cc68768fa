from genai.core.renamed import module_getattr

__getattr__ = module_getattr(__name__)
